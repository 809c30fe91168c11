"""Programs that behave as the documentation of PBS, LSF and SGE says, for tests: jobs are processes of this machine.

State lies in files of one folder: jobs/<number> holds the id of the process group. A file `refuses` holds the words
with which submission is refused, those after the first job where `limit` exists too; `ends/<number>` what the queue
says of a job that ended.
"""

from pathlib import Path

PRELUDE = """#!/bin/bash
folder={folder}
mkdir -p $folder/jobs $folder/ends
"""
SUBMIT = """
exec 9> $folder/lock; flock 9
test -e $folder/refuses && ! test -e $folder/limit -a ! -e $folder/jobs/101 && cat $folder/refuses >&2 &&
  exit {refusal_status}
n=$(ls $folder/jobs | wc -l); number=$((n + 101))
{take_script}
setsid {variables} bash $folder/$number.script > $folder/$number.out 2>&1 < /dev/null 9>&- &
echo $! > $folder/jobs/$number
"""

PBS = {
    # PBS reference guide 2022.1: prints "1234.server"; refuses with "qsub: Unknown queue" and exit status 170.
    "qsub": SUBMIT.replace("{refusal_status}", "170")
    .replace("{take_script}", 'cp "$1" $folder/$number.script')
    .replace("{variables}", "env PBS_JOBID=$number.pbs")
    + 'echo "$number.pbs"\n',
    # qstat -x -f: one block a job; of an unknown number a message and exit status 153.
    "qstat": """
test "$1 $2" = "-x -f" || exit 2
shift 2; status=0
for number in "$@"; do
  test -e $folder/jobs/$number || { echo "qstat: Unknown Job Id $number.pbs" >&2; status=153; continue; }
  echo "Job Id: $number.pbs"
  echo "    Job_Name = latentlaw"
  if kill -0 $(cat $folder/jobs/$number) 2> /dev/null; then
    echo "    job_state = R"
    echo "    comment = Job run at Sun Nov 29 at 10:00 on (node:ncpus=1)"
  else
    echo "    job_state = F"
    test -e $folder/ends/$number && echo "    Exit_status = $(cat $folder/ends/$number)"
  fi
  echo
done
exit $status
""",
    "qdel": """
for number in "$@"; do
  kill -0 $(cat $folder/jobs/$number) 2> /dev/null || { echo "qdel: Job has finished $number.pbs" >&2; exit 35; }
  echo 271 > $folder/ends/$number; kill -KILL -- -$(cat $folder/jobs/$number)
done
""",
}
LSF = {
    # bsub reads the script from its input; "nosuch: No such queue. Job not submitted." with exit status 255.
    "bsub": SUBMIT.replace("{refusal_status}", "255")
    .replace("{take_script}", "cat > $folder/$number.script")
    .replace("{variables}", "env LSB_JOBID=$number")
    + 'echo "Job <$number> is submitted to queue <normal>."\n',
    "bjobs": """
test "$1 $2 $3" = "-a -noheader -o" || exit 2
shift 4
for number in "$@"; do
  test -e $folder/jobs/$number || { echo "Job <$number> is not found" >&2; continue; }
  if kill -0 $(cat $folder/jobs/$number) 2> /dev/null; then echo "$number|RUN|-|-"
  else echo "$number|EXIT|$(cat $folder/ends/$number 2> /dev/null || echo -)|-"; fi
done
""",
    "bkill": """
for number in "$@"; do
  kill -0 $(cat $folder/jobs/$number) 2> /dev/null ||
    { echo "Job <$number>: Job has already finished" >&2; exit 255; }
  echo "TERM_OWNER: job killed by owner" > $folder/ends/$number
  kill -KILL -- -$(cat $folder/jobs/$number)
done
""",
}
SGE = {
    # qsub(1): 'Your job 5 ("name") has been submitted'; refuses with "Unable to run job: ..." and exit status 1.
    "qsub": SUBMIT.replace("{refusal_status}", "1")
    .replace("{take_script}", 'cp "$1" $folder/$number.script')
    .replace("{variables}", "env JOB_ID=$number")
    + 'echo "Your job $number (\\"latentlaw\\") has been submitted"\n',
    "qstat": """
test "$1" = "-u" || exit 2
alive=$(for file in $folder/jobs/*; do
  test -e $file && kill -0 $(cat $file) 2> /dev/null && basename $file; done)
test -z "$alive" && exit 0
echo "job-ID  prior   name       user         state submit/start at     queue                slots ja-task-ID"
echo "-----------------------------------------------------------------------------------------------------"
for number in $alive; do
  echo "    $number 0.55500 latentlaw  $2         r     11/29/2026 10:00:00 all.q@node               1        "
done
""",
    "qdel": """
for number in "$@"; do
  kill -KILL -- -$(cat $folder/jobs/$number) 2> /dev/null ||
    { echo "denied: job \\"$number\\" does not exist"; exit 1; }
done
""",
}
PROGRAMS = {"pbs": PBS, "lsf": LSF, "sge": SGE}
REFUSALS = {
    "pbs": "qsub: Unknown queue",
    "lsf": "nosuch: No such queue. Job not submitted.",
    "sge": 'Unable to run job: Job was rejected because job requests unknown queue "nosuch". Exiting.',
}


def install(system: str, folder: Path, bin_: Path) -> None:
    """Put the programs of one system into `bin_`, their state into `folder`."""
    bin_.mkdir(parents=True, exist_ok=True)
    for name, text in PROGRAMS[system].items():
        (bin_ / name).write_text(PRELUDE.format(folder=folder) + text)
        (bin_ / name).chmod(0o755)
