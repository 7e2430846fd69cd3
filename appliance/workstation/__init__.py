"""The workstation's side: post a pair, or watch a folder and post what appears in it."""
