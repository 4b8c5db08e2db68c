#!/bin/bash

# Parameters
#SBATCH --array=0-0%1
#SBATCH --job-name=hpc-stopped-d34ba7.0
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=%A_%a_log.out
#SBATCH --partition=nowhere
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=60

# setup
export PYTHONSAFEPATH=1

# command
export SUBMITIT_EXECUTOR=slurm
exec /home/user/project/.venv/bin/python -u -m jobs job /home/user/project/runs/requeued/jobs/1 0
