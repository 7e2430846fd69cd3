"""Plans of a bundle, built on this device:
`python -m mammosono.engines.trt.build BUNDLE --plans DIR`.

One process a stage, then one that tries the plans on the bundle's own tensors; a stage that
fails in half precision is built again in single. New plans lie apart until all are good: cut
short at any moment, this leaves the old ones or the new ones, whole. Tells what it does as lines
of JSON on stdout; TensorRT's own words go to build.log beside the plans.
"""

import argparse
import os
import shutil
import sys
import time
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from mammosono.engines.bundle import Bundle, Stage, open_bundle
from mammosono.engines.errors import EngineError, EngineUnavailable
from mammosono.engines.trt.build_job import LOG, Died, Job, events
from mammosono.engines.trt.build_step import build_stage, die_with_parent, say, try_staged
from mammosono.engines.trt.device import this_device
from mammosono.engines.trt.parity import PlanCheck, read_tensors, reads, stages_in_order
from mammosono.engines.trt.plan import hold, plans_of, read_plan, read_sidecar, write_plan
from mammosono.engines.trt.publish import BUILDING, publish

PRECISIONS = ("fp16", "fp32")
WORKSPACE_MB = 256


def build_plans(
    bundle: Bundle, folder: str, precision: str, workspace_mb: int, tell: Callable[..., None]
) -> None:
    """Build, try and publish a plan of every stage into `folder`.

    precision: "fp16" or "fp32". workspace_mb: device memory that one layer may use, MiB.
    tell: called with (event, **fields), which `main` writes.

    Raises EngineUnavailable, BundleError or OSError; the plans are then as they were.
    """
    stages = stages_in_order(bundle)
    read_tensors(bundle)  # refused now, not after an hour of building what cannot be tried
    # Opened under the hold: the log of a build that is going on is not ours to empty.
    with hold(folder, exclusive=True), open(os.path.join(folder, LOG), "wb", buffering=0) as log:
        job = Job(bundle, folder, precision, workspace_mb, log, tell)
        shutil.rmtree(job.staging, ignore_errors=True)
        os.mkdir(job.staging, 0o700)
        lowered: Dict[str, str] = {}
        verdicts = _build_until_good(job, stages, lowered)
        _enter(job, stages, verdicts, lowered)
        publish(folder)


def lower(
    stages: Sequence[Stage], verdicts: Mapping[str, PlanCheck], precision: Mapping[str, str]
) -> List[Stage]:
    """The stages to build again in single precision, so that the failed ones may pass.

    verdicts: may lack stages that were not tried. precision: by stage, of the plans tried.
    Raises EngineUnavailable if there is nothing left to lower.
    """
    failed = [s for s in stages if s.name in verdicts and verdicts[s.name].reason]
    found = []
    for stage in failed:
        if any(reads(stage, other) for other in failed):
            continue  # was fed what another got wrong: judged again when that one is right
        # Itself first. In single precision already: then what it is fed is not exact enough.
        for candidates in ([stage], [other for other in stages if reads(stage, other)]):
            candidates = [s for s in candidates if precision[s.name] != "fp32"]
            if candidates:
                found += [s for s in candidates if s not in found]
                break
        else:
            raise EngineUnavailable(
                "stage %s: its plan is wrong even in single precision (%s); do not use this "
                "TensorRT, and keep build.log" % (stage.name, verdicts[stage.name].reason)
            )
    return found


def _build_until_good(
    job: Job, stages: Sequence[Stage], lowered: Dict[str, str]
) -> Dict[str, PlanCheck]:
    """Build and try until every plan is good. lowered: gets why, of each stage made single."""
    todo = {stage.name: job.precision for stage in stages}
    while True:
        for number, name in enumerate(todo, 1):
            job.tell("stage", stage=name, precision=todo[name], number=number, of=len(todo))
            _build(job, name, todo[name])
        job.tell("trial", stages=len(stages))
        verdicts = _try(job)
        if len(verdicts) == len(stages) and not any(v.reason for v in verdicts.values()):
            return verdicts
        precision = {s.name: read_sidecar(job.staging, s.name).precision for s in stages}
        again = lower(stages, verdicts, precision)
        todo = {stage.name: "fp32" for stage in again}
        for name in todo:
            failed = verdicts.get(name)
            lowered[name] = (failed.reason if failed else "") or "a stage that it feeds failed"
            job.tell("fallback", stage=name, precision="fp32", reason=lowered[name])


def _build(job: Job, stage: str, precision: str) -> None:
    options = ["--stage", stage, "--precision", precision]
    for event in events(job, options, "stage %s: its build" % stage):
        job.tell(**event)


def _try(job: Job) -> Dict[str, PlanCheck]:
    """The verdicts, by stage; where a plan took the process with it, its and those before it."""
    verdicts: Dict[str, PlanCheck] = {}
    trying = ""
    try:
        for event in events(job, ["--try"], "the trial of the plans"):
            job.tell(**event)
            if event["event"] == "trying":
                trying = event["stage"]
            elif event["event"] == "verdict":
                verdict = PlanCheck(event["stage"], event["figures"], event["reason"])
                verdicts[verdict.stage] = verdict
    except Died as error:
        if not trying:
            raise
        verdicts[trying] = PlanCheck(trying, {}, str(error))
        job.tell("verdict", **verdicts[trying]._asdict())
    return verdicts


def _enter(
    job: Job, stages: Sequence[Stage], verdicts: Mapping[str, PlanCheck], lowered: Mapping[str, str]
) -> None:
    """The trial's figures into the sidecars; and nothing but plans left to publish."""
    device = this_device()
    for stage in stages:
        name = stage.name
        sidecar = read_sidecar(job.staging, name)._replace(parity=verdicts[name].figures)
        if name in lowered:
            why = "single precision, since in half: %s" % lowered[name]
            sidecar = sidecar._replace(log=sidecar.log + (why,))
        write_plan(job.staging, name, read_plan(job.staging, stage, device), sidecar)
    published = {stage.name + suffix for stage in stages for suffix in (".plan", ".json")}
    for name in set(os.listdir(job.staging)) - published:
        os.unlink(os.path.join(job.staging, name))


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """0 if the plans are built and good; 2, and an event "error" with one line, if not."""
    options = _parser().parse_args(arguments)
    started = time.time()
    try:
        bundle = open_bundle(options.bundle)
        folder = os.path.abspath(options.plans or plans_of(bundle))
        staging = os.path.join(folder, BUILDING)
        size = options.workspace_mb
        if options.stage or options.trial:
            die_with_parent()
        if options.trial:
            try_staged(bundle, staging)
        elif options.stage:
            build_stage(bundle, options.stage, options.precision, size, folder, staging)
        else:
            build_plans(bundle, folder, options.precision, size, say)
            say("done", plans=folder, seconds=round(time.time() - started, 1))
    except EngineError as error:
        say("error", message=str(error))
        return 2
    except OSError as error:
        name = os.path.basename(str(error.filename or "a file"))
        say("error", message="%s: %s; check space and rights" % (name, error.strerror or error))
        return 2
    except KeyboardInterrupt:
        say("error", message="stopped; the plans are as they were")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mammosono.engines.trt.build", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--plans", metavar="DIR", help="folder of the plans; BUNDLE/plans")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument(
        "--workspace-mb", type=int, default=WORKSPACE_MB, metavar="N",
        help="device memory that one layer may use, MiB",
    )  # fmt: skip
    parser.add_argument("--stage", metavar="NAME", help="build this stage alone, unproven, apart")
    parser.add_argument("--try", dest="trial", action="store_true", help="try what was built apart")
    return parser


if __name__ == "__main__":
    sys.exit(main())
