#!/bin/bash

# Parameters
#SBATCH --array=0-1%2
#SBATCH --comment='it'"'"'s mine'
#SBATCH --cpus-per-task=1
#SBATCH --job-name=hpc-queued-c59ad9.0
#SBATCH --mem=1GB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=%A_%a_log.out
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=20

# setup
export PYTHONSAFEPATH=1

# command
export SUBMITIT_EXECUTOR=slurm
exec /home/user/project/.venv/bin/python -u -m jobs job /home/user/project/runs/queued/jobs/1 0
