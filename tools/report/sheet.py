"""The report's head: what it may load (nothing) and how it looks on the screen and on A4."""

from __future__ import annotations

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>mammosono: evaluation</title>
<style>
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #111;
  font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; border-bottom: 1px solid #999; break-after: avoid; }
h3 { font-size: 1rem; margin: 1rem 0 .2rem; break-after: avoid; }
ul { margin: .2rem 0 .6rem; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .82rem;
  font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; }
th, td { padding: .22rem .35rem; border-bottom: 1px solid #ccc; text-align: right;
  vertical-align: top; }
th { font-weight: 600; }
th:first-child { text-align: left; overflow-wrap: anywhere; }
tr:first-child th { border-bottom: 1.5px solid #111; vertical-align: bottom; }
tr.paper { background: #f0f0f0; font-style: italic; }
td small { display: block; color: #444; font-size: .82em; white-space: nowrap; }
figure { margin: 1rem 0 1.4rem; }
figcaption { font-size: .85rem; margin-top: .3rem; }
.plot { width: 49%; vertical-align: top; }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem;
  align-items: start; }
.three { grid-template-columns: repeat(3, 1fr); }
.grid figcaption { grid-column: 1 / -1; }
.example { display: grid; grid-template-columns: repeat(3, 1fr); gap: 3px;
  align-items: center; background: none; break-inside: avoid; }
.three .example { grid-template-columns: 1fr 1fr; }
.example img { width: 100%; max-height: 260px; object-fit: contain; background: #000; }
.example span { grid-column: 1 / -1; font-size: .75rem; overflow-wrap: anywhere; }
@media screen and (max-width: 700px) { .grid, .three { grid-template-columns: 1fr; }
  .plot { width: 100%; } main { overflow-x: auto; } }
@page { size: A4; margin: 14mm 13mm; }
@media print {
  html { font-size: 9.5pt; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 1.2rem; }
  table { font-size: 7pt; }
  th, td { padding: .12rem .2rem; }
  tr.paper, .three .example { grid-template-columns: 1fr 1fr; }
.example img { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  table, figure { break-inside: avoid; }
}
</style>
</head>
<body>
<main>"""
