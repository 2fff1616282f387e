# make demo [VIDEO=file QUERY="..."]   render a clip (or take yours), ground three queries in it
#      [MODEL=eb3] [FPS=5]             with a released model, which is pulled; frames sized for that rate
# make monitor [CONFIG=file.toml]      watch three cameras that show rendered clips (or yours), with a page at
#                                      http://127.0.0.1:8710
# make onnxruntime                     fetch ONNX Runtime, a faster engine, 28 MB: make demo then uses it
# make test                            everything that needs no PyTorch
# make test-monitor                    the monitor with real brokers, cameras and browsers, which it installs
# make test-gstreamer [QUICK=1]        the plugin with GStreamer 1.24, 1.26 and 1.28, in systems that it makes; as root.
#                                      QUICK: with 1.26 and 1.28, what metadata concerns
# make test-ros2-messages              messages of ROS 2 and recordings against rosbags and CycloneDDS, which it installs
# make test-ros2                       the ROS 2 node and elements with CycloneDDS and Fast DDS, in a network of their own
# make test-split                      graphs on servers: MLServer, and Triton's client, which it installs
# make test-models [FULL=1]            the Python part; installs PyTorch into .venv. FULL: the
#                                      released structures at full size too, half an hour and 12 GB
# make test-tensorrt [FULL=1]         the engine TensorRT without a GPU: plans are built and checked; fetches
#                                      89 MB into target/tensorrt. FULL: of full-size models too
# make packages                        Debian packages for amd64, into target/packages; after make cross for arm64 too
# make wheel                           the Python package for amd64, into target/packages; after make cross for arm64 too
# make test-python                     the Python package as it is installed from its wheel
# make cross                           programs and plugin for arm64, into target/cross; checks them and runs them under qemu
# make test-packages                   installs, upgrades and purges the packages in roots of four systems, and runs the service
#                                      under systemd; as root
# make release                         packages, source, bills of materials and checksums, from a clean commit
# make test-containers                 lints the container files, builds the image and runs the monitor in it; as root
# make soak [FRAMES=100000]            streams that come and go and queries that change, under the leak tracer
# make bench [QUICK=1] [FORCE=1]       speed, against PyTorch and ONNX Runtime, into docs/src/benchmarks.md.
#                                      QUICK: in minutes. FORCE: measure anew what is known
# make bench-fleet [ARGS="--devices 1000"] a fleet on this machine, while hub and broker die; installs mosquitto and PostgreSQL
# make book                            the documentation as web pages, in target/book; installs mdbook into target/tools
# make fuzz [TARGET=name] [SECS=60]    what parses, each fuzz target for so long; installs cargo-fuzz
# make eval                            measure the bundled model, and write models/tabletop/README.md
# make eval-motion                     the same of what it says about time
# make lint                            formatting, clippy, docs, circles of imports, length of files,
#                                      shell syntax; ruff is part of test-models
# make train motion export             the bundled model from nothing, of single pictures first, then of clips

export PATH := $(HOME)/.cargo/bin:$(PATH)
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
MODEL := models/tabletop

.PHONY: setup demo monitor onnxruntime test soak fuzz test-models test-monitor test-ros2 test-tensorrt bench book eval lint python data train export

setup:
	tools/setup

# The user's words reach the scripts as they were typed: neither make nor a shell reads them again.
override VIDEO := $(value VIDEO)
override QUERY := $(value QUERY)
override CONFIG := $(value CONFIG)
override MODEL := $(value MODEL)
override FPS := $(value FPS)
export VIDEO QUERY CONFIG MODEL FPS
# What `mdetr pull` needs is compiled for those who ask for a model by name.
PULL := $(if $(wildcard $(MODEL)/model.toml),,--features mdetr-cli/pull)

demo: setup
	@test -e $${CARGO_TARGET_DIR:-target}/release/mdetr || echo "demo: compiling some 300 crates, which takes about twelve minutes of processor time; cargo counts them"
	cargo build --release --no-default-features $(PULL) -p mdetr-cli -p gst-plugin-mdetr
	tools/demo

monitor: setup
	cargo build --release -p mdetr-monitor -p gst-plugin-mdetr
	tools/monitor

onnxruntime: setup
	tools/onnxruntime

test: setup
	cargo test -p mdetr-cli --no-default-features --features kserve --test left_out
	cargo build --workspace --all-targets
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace; \
	else cargo test --workspace --lib --bins --tests; fi
	cargo test --workspace --doc

FRAMES ?= 100000

soak: setup
	MDETR_SOAK_FRAMES=$(FRAMES) cargo test --release -p gst-plugin-mdetr --test soak -- --nocapture

fuzz: setup
	tools/fuzz "$(TARGET)" "$(SECS)"

python: $(VENV)/installed

$(VENV)/installed: models/training/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -e 'models/training[plot,test]'
	touch $@

# Those without the ending .py by name.
PYTHON_FILES := models src tests tools examples tools/evaluate-motion tools/module-cycles tools/public-api cross/compare cross/gate cross/notices

test-models: setup python
	$(VENV)/bin/ruff check --config models/training/pyproject.toml $(PYTHON_FILES)
	$(VENV)/bin/ruff format --config models/training/pyproject.toml --check $(PYTHON_FILES)
	cargo build -p mdetr-cli
	cd models/training && OMP_NUM_THREADS=1 ../../$(VENV)/bin/python -m pytest -q -n $$(nproc) --dist worksteal
	$(VENV)/bin/python -m pytest -q tools/bench
	tools/test-onnxruntime
ifdef FULL
	$(VENV)/bin/python -m mdetr_training reference-official --full out/official
	MDETR_OFFICIAL=$(CURDIR)/out/official cargo test -p mdetr -p mdetr-weights --test official full_size -- --ignored --nocapture
endif

test-monitor: setup
	tools/test-monitor

# The messages of ROS 2 and their recordings against rosbags and CycloneDDS.
.PHONY: test-ros2-messages
test-ros2-messages: setup
	tools/test-ros2-messages

# The plugin as it was built here, where other systems run it.
.PHONY: test-gstreamer
test-gstreamer: setup
ifdef QUICK
	MDETR_TESTS="metadata:: json:: track:: overlay:: inspect::" tools/test-gstreamer trixie sid
else
	tools/test-gstreamer
endif

test-ros2: setup
	tools/test-ros2

.PHONY: test-split
test-split: setup
	tools/test-split

test-tensorrt: setup python
	FULL="$(FULL)" tools/test-tensorrt $(VENV)

# What is built for arm64 runs where packages promise it, and gives the same results.
SHIPPED := mdetr libgstmdetr.so libgstmdetrros2.so mdetr-monitor mdetr-ros2 mdetr-ros2-humble

.PHONY: cross packages test-packages release wheel test-python test-containers
cross: setup
	cross/build
	cross/gate --sysroot target/cross/sysroot $(addprefix target/cross/build/aarch64-unknown-linux-gnu/release/,$(SHIPPED))
	cross/test

packages: setup
	cross/programs
	cross/gate $(addprefix $${CARGO_TARGET_DIR:-target}/release/,$(SHIPPED))
	cross/package amd64 all
	if [ -e target/cross/build/aarch64-unknown-linux-gnu/release/mdetr-monitor ]; then cross/package arm64; fi

wheel: setup
	cross/wheel amd64
	if [ -e target/cross/build/aarch64-unknown-linux-gnu/release/mdetr-monitor ]; then cross/wheel arm64; fi

test-python: setup
	tools/test-python

test-packages:
	cross/test-packages
	cross/test-service

release: setup
	cross/release build

test-containers:
	cross/test-containers

.PHONY: bench-fleet
bench-fleet:
	tools/bench-fleet $(ARGS)

bench: setup python
	cargo build --release -p mdetr-bench -p gst-plugin-mdetr
	PYTHONPATH=tools $(VENV)/bin/python -m bench $(if $(QUICK),--quick) $(if $(FORCE),--force)

# Two minutes of processor time for mdbook, once.
MDBOOK := target/tools/bin/mdbook

$(MDBOOK):
	cargo install --locked mdbook --version 0.5.4 --no-default-features --root target/tools

book: setup $(MDBOOK)
	$(MDBOOK) build docs
	@echo "book: see target/book/index.html"

eval: setup
	cargo build --release -p mdetr-cli -p gst-plugin-mdetr
	tools/evaluate

lint: setup
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p mdetr-cli --no-default-features -- -D warnings
	cargo clippy -p mdetr-python --features module -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	tools/public-api
	$(PYTHON) tools/module-cycles --self-test
	$(PYTHON) tools/module-cycles
	@for script in $$(grep -sl '^#!/usr/bin/env bash' .ci/* tools/* cross/* tests/stand-ins/*); do bash -n "$$script" || exit; done

DATA := data
RUN := out/training
DATASET := target/release/mdetr scenes dataset --no-masks --mix questions

data: setup
	cargo build --release -p mdetr-cli
	$(DATASET) --captions 10 --count 300 --seed 900001 --size 320x240 --out $(DATA)/val
	$(DATASET) --captions 12 --count 8000 --seed 401 --size 320x240 --out $(DATA)/a
	$(DATASET) --captions 12 --count 6000 --seed 402 --size 256x192 --out $(DATA)/b
	$(DATASET) --captions 12 --count 3000 --seed 403 --size 512x384 --focal 0.85 --out $(DATA)/c
	$(DATASET) --captions 12 --count 3000 --seed 404 --size 432x243 --out $(DATA)/d
	$(DATASET) --captions 12 --count 3000 --seed 405 --size 320x240 --focal 1.5 --out $(DATA)/e
	$(DATASET) --captions 12 --count 2000 --seed 406 --size 256x192 --focal 0.8 --out $(DATA)/f
	$(DATASET) --captions 12 --count 1000 --seed 407 --size 640x360 --focal 1.3 --out $(DATA)/g

# Resumes where it was interrupted. One process per core, one thread each.
train: python data
	mkdir -p $(RUN)
	test -e $(RUN)/tokenizer.json || $(VENV)/bin/python -m mdetr_training tokenizer \
	    $(DATA)/a $(DATA)/b $(DATA)/d --out $(RUN)/tokenizer.json
	OMP_NUM_THREADS=1 $(VENV)/bin/torchrun --nproc_per_node $$(nproc) -m mdetr_training train \
	    models/training/configs/tabletop.toml --tokenizer $(RUN)/tokenizer.json --out $(RUN)

MOTION := out/motion

.PHONY: motion-data motion eval-motion
motion-data: setup
	cargo build --release -p mdetr-cli
	target/release/mdetr scenes clips --count 4000 --seed 41 --frames 14 --captions 16 --out $(DATA)/clips
	target/release/mdetr scenes clips --count 60 --seed 42 --frames 14 --captions 16 --out $(DATA)/clips-val
	target/release/mdetr scenes clips --varied --count 1400 --seed 72 --frames 14 --captions 16 --out $(DATA)/clips-varied
	target/release/mdetr scenes clips --hiding 1 --count 1600 --seed 7101 --frames 14 --captions 20 --out $(DATA)/clips-hiding
	target/release/mdetr scenes clips --hiding 1 --varied --count 500 --seed 7102 --frames 14 --captions 20 --out $(DATA)/clips-hiding-varied
	$(DATASET) --captions 12 --count 4000 --seed 401 --size 320x240 --out $(DATA)/motion-a
	$(DATASET) --captions 12 --count 1500 --seed 402 --size 256x192 --out $(DATA)/motion-b
	$(DATASET) --captions 12 --count 1500 --seed 404 --size 432x243 --out $(DATA)/motion-d
	$(DATASET) --captions 12 --count 1000 --seed 405 --size 320x240 --focal 1.5 --out $(DATA)/motion-e
	$(DATASET) --varied --captions 12 --count 6000 --seed 411 --size 320x240 --out $(DATA)/motion-va
	$(DATASET) --varied --captions 12 --count 2000 --seed 412 --size 432x243 --out $(DATA)/motion-vb
	$(DATASET) --varied --captions 12 --count 1500 --seed 413 --size 256x192 --out $(DATA)/motion-vc

# From what `make train` ended with. Resumes where it was interrupted.
motion: python motion-data
	mkdir -p $(MOTION)
	test -e $(MOTION)/words.json || $(VENV)/bin/python -m mdetr_training tokenizer $(DATA)/clips \
	    --extend $(RUN)/tokenizer.json --out $(MOTION)/words.json
	OMP_NUM_THREADS=1 $(VENV)/bin/torchrun --nproc_per_node $$(nproc) -m mdetr_training train \
	    models/training/configs/tabletop-motion.toml --init $(RUN)/checkpoint.pth \
	    --new-heads --tokenizer $(MOTION)/words.json --out $(MOTION)

export: python
	$(VENV)/bin/python -m mdetr_training export --checkpoint $(MOTION)/checkpoint.pth \
	    --weights models/training/weights/$(notdir $(MODEL)).safetensors \
	    --tokenizer $(MOTION)/words.json --out $(MODEL)
	$(VENV)/bin/python -m mdetr_training reference src/mdetr/tests/data/parity \
	    --weights models/training/weights/$(notdir $(MODEL)).safetensors --bundle $(MODEL)

eval-motion: setup
	cargo build --release -p mdetr-cli
	tools/evaluate-motion
