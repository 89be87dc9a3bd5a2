# make demo [ARGS="--episodes 10 --precision fp"]     the simulated arm, driven through ROS 2
# make test [ARGS="test/tokens"] [WORKERS=4]           all tests, by so many processes
# make shell [ARGS='-c "COMMAND"']                     a shell with sqap-vla and the nodes on PATH
# make docs [ARGS=--check]                             the generated parts of docs/
# Each does all of its set-up first; what is done already is not done again.
#
# Where a ROS 2 installation is sourced, it is used. Elsewhere ROS 2 comes from Python wheels:
#   make test ROS_DISTRO=kilted    (own directories: .venv-kilted, build-kilted, install-kilted)

PYTHON ?= python3
ROS_DISTRO ?= jazzy
# twice the cores of a small machine: tests of nodes wait for messages, and of processes for them
WORKERS ?= 4
ARGS ?=
SET_UP = $(PYTHON) scripts/set_up --ros-distro $(ROS_DISTRO)
IN_ROS = python -m sqap_vla_ros.support.ros_environment

.PHONY: help setup demo test lint shell docs colcon-test clean distclean

help:
	@sed -n '1,8s/^# \{0,1\}//p' Makefile

setup:
	@$(SET_UP)

demo:
	@$(SET_UP) -- sqap-vla demo $(ARGS)

test:
	@$(SET_UP) -- python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rfEsR $(ARGS)

lint:
	@$(SET_UP) -- python -m pytest -q -m linter

shell:
	@$(SET_UP) -- $(IN_ROS) scripts/shell $(ARGS)

docs:
	@$(SET_UP) -- $(IN_ROS) python scripts/write_docs $(ARGS)

# The way of a ROS workspace: built with tests, installed as copies, tested by colcon.
colcon-test:
	@$(SET_UP) -- scripts/colcon_test

clean:
	rm -rf build* install* log .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv*
