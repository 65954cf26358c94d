# `make` alone lists the commands. Every recipe is an ordinary command that you can type yourself after `. .venv/bin/activate`.
.DEFAULT_GOAL := help
.PHONY: help setup run notebooks pages stop review propose infra train promote variables verify learn test check proof audit bench api lock clean
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
# What CI hands over is text of others: only the shell reads it, for make would carry out a $(shell …) in it.
export BASE GROUP COMPUTE EXPERIMENT APPROVED STAGE DEPLOY LIVE
# A machine may be set never to write bytecode; then every start of Python here takes two to three times as long.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
READY := .venv/.ready
UV_VERSION := 0.13.9

help:  ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(READY)  ## make .venv from requirements.lock; skipped when nothing changed

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nbops needs Python 3.11 or newer; $(PYTHON) is older. Say: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@command -v uv >/dev/null || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	uv pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
	uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --compile-bytecode --editable .
	@nbops clean --setup-git
	@touch $(READY)

run: setup  ## the main job: run the notebooks, promote the best run, deploy it, ask it
	nbops run experimentation/diabetes_ridge.ipynb
	nbops run experimentation/diabetes_ridge.ipynb -p alpha=1.0
	nbops run experimentation/diabetes_boosting.ipynb
	nbops run experimentation/diabetes_boosting.ipynb -p learning_rate=0.03 -p max_iter=150
	nbops run experimentation/breast_cancer_logistic.ipynb
	nbops compare diabetes --metric rmse
	nbops promote --live
	nbops endpoint invoke diabetes
	nbops endpoint status diabetes
	@echo "  runs        nbops ui   (MLflow's pages at http://127.0.0.1:5000)"
	@echo "  next        . .venv/bin/activate, and nbops and jupyter lab are on your path"

notebooks: setup  ## run every notebook once with its defaults; those under production/ are run by `make run`
	@for notebook in experimentation/*.ipynb; do nbops run "$$notebook" || failed=1; done; exit $${failed:-0}

pages: setup  ## the executed notebooks as HTML, under .nbops/pages
	jupyter nbconvert --to html --embed-images --log-level ERROR --output-dir .nbops/pages .nbops/executed/*.ipynb

stop:  ## stop the endpoint that `make run` started
	nbops endpoint stop diabetes

review: setup  ## what this branch changes in notebooks and in their numbers: .nbops/review/report.html; BASE=origin/main
	@rm -rf .nbops/review && mkdir -p .nbops/review
	nbops review "$$BASE" --run --html .nbops/review/report.html --markdown .nbops/review/report.md \
		$(if $(TF_BUILD),--figures .nbops/review/figures)

propose: setup  ## sweep, then what a promotion would do, with its card: .nbops/propose/card.html; LIVE=--live does it
	nbops sweep experimentation/diabetes_ridge.ipynb --grid alpha=0.01,0.1,1 --metric rmse
	nbops promote $$LIVE
	@mkdir -p .nbops/propose
	@cp "$$(find .nbops -path '*/promotion/card.html' -exec ls -t {} + | head -n 1)" .nbops/propose/card.html

infra: setup  ## what production/infra would change in Azure: .nbops/infra/report.md; STAGE=dev, GROUP=; DEPLOY=--yes does it
	nbops azure up --stage "$${STAGE:-dev}" $${GROUP:+--resource-group "$$GROUP"} "$${DEPLOY:---what-if}" \
		--markdown .nbops/infra/report.md

train: setup  ## sweep on the workspace, each trial a job: COMPUTE=serverless
	nbops sweep experimentation/diabetes_ridge.ipynb --grid alpha=0.01,0.1,1 --metric rmse --on "azureml:$${COMPUTE:-serverless}"

promote: setup  ## take the best run through dev, test, prod: EXPERIMENT=; STAGE=test APPROVED=MODEL@VERSION approves it for test
	case "$${STAGE:-dev}" in \
		dev) nbops promote --live --stages dev,test,prod $${EXPERIMENT:+-p "experiment=$$EXPERIMENT"} ;; \
		*) nbops promote --continue "$$APPROVED" --stage "$$STAGE" ;; \
	esac

variables: setup  ## in CI: exit code 2 when the sign-in's variables are missing, with what old secrets become
	@python -m notebooks_lib.azure.client.old_secrets AZURE_CLIENT_ID AZURE_TENANT_ID

test: setup  ## all tests but the slow proofs, at most five minutes on two cores
	pytest -n auto --dist worksteal

check: setup  ## what CI checks before it tests: style, types, floors, notebooks, environment, workflows
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	nbops check $(if $(GITHUB_ACTIONS),--format github)
	python -m tests.environment
	zizmor --offline --no-progress --quiet .github
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.azure-pipelines --data-transform azure-pipelines --regex-variant nonunicode .ci/*.yml
	check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	python -m tests.api --check
	python -m tests.rules --check

proof: setup  ## the slow proofs: chaos, many at once; how often the gate of promotion is wrong
	pytest -n 2 --dist worksteal -m proof
	OMP_NUM_THREADS=1 python -m benchmarks.promotion

verify: setup  ## run the notebooks that have learned bands again, and compare their metrics; stale ones are named
	@set -o pipefail; all=0; verified=0; report=$$(mktemp); \
	for bands in experimentation/*.bands.toml; do \
		test -e "$$bands" || { echo "no notebook has bands yet: nbops verify NOTEBOOK --learn"; exit 0; }; \
		all=$$((all + 1)); echo "$$bands"; \
		nbops verify --allow-stale "$${bands%.bands.toml}.ipynb" | tee "$$report" || failed=1; \
		if grep -q '^VERIFIED ' "$$report"; then verified=$$((verified + 1)); fi; \
	done; rm -f "$$report"; summary="$$verified of $$all verified"; \
	if [ $$verified = $$all ]; then echo "$$summary"; else \
		echo "$${GITHUB_ACTIONS:+::}warning$${GITHUB_ACTIONS:+::} $$summary: make learn learns stale bands again"; fi; \
	exit $${failed:-0}

learn: setup  ## learn the bands that `make verify` compares with again, after a change that is meant: minutes
	@for bands in experimentation/*.bands.toml; do nbops verify --learn "$${bands%.bands.toml}.ipynb" || exit 1; done

audit: setup  ## known vulnerabilities of the packages in requirements.lock; asks PyPI
	uv tool run --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

bench: setup  ## what we claim about speed, side by side
	-uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes --compile-bytecode \
		--target .nbops/bench-packages --requirements benchmarks/requirements.lock
	python -m benchmarks

api:  ## write docs/api.md and docs/rules.md anew, from docstrings and from the tables of rules
	python -m tests.api
	python -m tests.rules

lock:  ## write requirements.lock anew from pyproject.toml, without index addresses
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
		--custom-compile-command "make lock" --extra dev pyproject.toml --output-file requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
		--custom-compile-command "make lock" --no-deps benchmarks/requirements.txt --output-file benchmarks/requirements.lock

clean:  ## remove what was set up and what ran; asks nothing, so mind your runs
	rm -rf .venv .nbops .mypy_cache .ruff_cache .pytest_cache
