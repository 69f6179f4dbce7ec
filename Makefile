# giemsa. `make help` lists the targets; everything built is under $(BUILD).
#
# core/*.c is compiled once for each instruction set into lib/giemsa/core-<isa>.so; core.so only picks one when loaded.
# Libraries that not everybody has are bound in a module each (zip.so, ...), built where their headers are.

BUILD   ?= build
PREFIX  ?= /usr/local
CFLAGS  ?= -O3 -g
PKG_CONFIG ?= pkg-config
WERROR  ?= $(if $(CI),yes)
LUA     := lua5.4
ifeq ($(origin CC),default)
CC := gcc
endif

# One job a core, unless the caller said how many.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

has   = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
flags = $(shell $(PKG_CONFIG) $(1) 2>/dev/null)

MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
ISAS    := $(if $(filter x86_64,$(MACHINE)),v4 v3 base,base)
FLAGS_v4 = -march=x86-64-v4 -mprefer-vector-width=512
FLAGS_v3 = -march=x86-64-v3
# Positions in a picture are equal to the reference's to the bit only without fused multiply-add.
FLAGS_FILE_resize = -ffp-contract=off
FLAGS_FILE_affine = -ffp-contract=off
FLAGS_FILE_image = -fno-sanitize=shift # stb_image shifts too far on damaged JPEGs, and does not use the result

LUA_CFLAGS := $(call flags,--cflags $(LUA))
CORE_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(CFLAGS) -ffp-contract=fast -fno-math-errno -fno-trapping-math -fPIC \
  -fvisibility=hidden -pthread -Wall -Wextra $(if $(WERROR),-Werror) \
  $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer) $(LUA_CFLAGS)

# module -> the pkg-config package it needs; the rest of core/ is the core
PACKAGE_zip = libzip
PACKAGE_curl = libcurl
PACKAGE_hash = nettle
PACKAGE_lineedit = libedit
PACKAGE_md4c = md4c
PACKAGE_jansson = jansson
PACKAGE_blas = openblas
PACKAGE_zmq = libzmq
PACKAGE_microhttpd = libmicrohttpd
PACKAGE_http = libmicrohttpd
OPTIONAL := zip curl hash lineedit md4c jansson blas zmq microhttpd
MODULES := $(foreach m,$(OPTIONAL),$(if $(wildcard core/$(m).c),$(if $(call has,$(PACKAGE_$(m))),$(m))))
MORE_microhttpd = http # what a module is made of besides its own file
CORE := $(filter-out dispatch main interrupt $(OPTIONAL) $(foreach m,$(OPTIONAL),$(MORE_$(m))),$(basename $(notdir $(wildcard core/*.c))))

LIB := $(BUILD)/lib/giemsa
TARGETS := $(BUILD)/bin/giemsa $(LIB)/core.so $(ISAS:%=$(LIB)/core-%.so) $(MODULES:%=$(LIB)/%.so)

say = $(if $(V),,@echo '  $@';) # V=1 shows the commands instead

##: make [V=1]               build/bin/giemsa and build/lib/giemsa/*.so
all: $(TARGETS)
help:
	@sed -n 's/^##: //p' Makefile

# ---- building

define core_for
$(LIB)/core-$(1).so: $(CORE:%=$(BUILD)/$(1)/%.o) $(BUILD)/files
	@mkdir -p $$(@D)
	$$(say)$(CC) $(CORE_CFLAGS) -shared -o $$@ $$(filter %.o,$$^) $(call flags,--libs zlib) -lm -ldl
$(BUILD)/$(1)/%.o: core/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(say)$(CC) $(CORE_CFLAGS) $(FLAGS_$(1)) $$(FLAGS_FILE_$$*) -DGIEMSA_ISA='"$(1)"' -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call core_for,$(isa))))

$(LIB)/core.so: $(BUILD)/obj/dispatch.o
	@mkdir -p $(@D)
	$(say)$(CC) $(CORE_CFLAGS) -shared -o $@ $< -ldl
$(MODULES:%=$(LIB)/%.so): $(LIB)/%.so: $(BUILD)/obj/%.o
	@mkdir -p $(@D)
	$(say)$(CC) $(CORE_CFLAGS) -shared -Wl,-z,nodelete -o $@ $^ $(call flags,--libs $(PACKAGE_$*))
$(foreach m,$(MODULES),$(eval $(LIB)/$(m).so: $(MORE_$(m):%=$(BUILD)/obj/%.o)))
$(BUILD)/bin/giemsa: $(BUILD)/obj/main.o $(BUILD)/obj/interrupt.o
	@mkdir -p $(@D)
	@ln -sfn $(if $(filter /%,$(BUILD)),$(CURDIR),..)/lua $(BUILD)/lua
	$(say)$(CC) $(CORE_CFLAGS) -Wl,-E -o $@ $^ $(call flags,--libs $(LUA)) -lm -ldl
$(BUILD)/obj/%.o: core/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(say)$(CC) $(CORE_CFLAGS) $(call flags,--cflags $(PACKAGE_$*)) -DGIEMSA_ISAS='"$(ISAS)"' -MMD -MP -c -o $@ $<

# Everything is compiled again when the compiler or its flags change, linked again when a file goes, and only then.
$(BUILD)/flags: STAMP = $(CC) $(ISAS) $(CORE_CFLAGS) $(foreach v,$(sort $(filter FLAGS_%,$(.VARIABLES))),$(v)=$($(v)))
$(BUILD)/files: STAMP = $(CORE)
$(BUILD)/flags $(BUILD)/files: FORCE
	@$(if $(LUA_CFLAGS),,echo 'giemsa: no headers of $(LUA) here; .ci/deps installs what is needed' >&2; exit 1)
	@mkdir -p $(@D); echo '$(STAMP)' | cmp -s - $@ || echo '$(STAMP)' > $@
-include $(wildcard $(BUILD)/*/*.d)

# ---- the two commands of the README, and the rest

export GIEMSA_BUILD := $(BUILD)
MAKE_IT = +@$(if $(filter no,$(DEPS)),,FULL=$(FULL) .ci/deps &&) $(MAKE) --no-print-directory all
PROGRAM = $(BUILD)/bin/giemsa

##: make run [DATA=path]     train, evaluate and validate, on synthetic blood smears or a folder or zip of images
export GIEMSA_DATA := $(DATA)
LESSONS = notebooks/05_train.lua notebooks/06_evaluate_and_plot.lua notebooks/07_save_load_validate.lua
MADE = report.txt plot.png malaria.safetensors montage.png
run:
	$(MAKE_IT)
	@for lesson in $(LESSONS); do echo; echo "-- $$lesson"; $(PROGRAM) $$lesson || exit; done
	@echo; echo 'The course is run. It made:'; ls -1 $(MADE:%=out/%)
	@echo 'Now go through it step by step: $(PROGRAM) run --step notebooks/05_train.lua'
##: make html [QUICK=yes]    pages of all lessons, run where they have not: out/html/index.html
html:
	$(MAKE_IT)
	@$(PROGRAM) html --run $(if $(filter-out no,$(QUICK)),--quick) notebooks/*.lua
##: make test [T=names]      all tests of a student's machine; FULL=yes: with sanitizers, valgrind, arm64
test:
	$(MAKE_IT)
	@$(PROGRAM) tests/run.lua $(if $(FULL),--full) $(T)
##: make bench [T=names]     time the parts, against PyTorch and others where they are; T=--scaling: over batch, side, ...
##:            [PEERS=yes]   gets ONNX Runtime, keras-preprocessing and scikit-learn (from PyPI, into a folder under build/)
bench: all $(if $(filter yes,$(PEERS)),$(BUILD)/bench-env)
	@$(PROGRAM) tests/bench.lua --peers --out $(BUILD) $(T)
$(BUILD)/bench-env:
	/usr/bin/python3 -m venv $@ && $@/bin/pip -q install onnxruntime pillow keras-preprocessing scipy scikit-learn || \
	  { rm -rf $@; exit 1; }

##: make asan, make tsan     the tests under the sanitizers; T=names as above
asan tsan: all
	@$(PROGRAM) tests/run.lua -s $@ $(T)

# Other ways to build. With a sanitizer for one instruction set only, since that is slow enough.
ONE_ISA = $(firstword $(filter v3 base,$(ISAS)))
ANOTHER = +@$(MAKE) --no-print-directory all BUILD=$@
build-asan:
	$(ANOTHER) SANITIZE=address,undefined CFLAGS='-O1 -g' ISAS=$(ONE_ISA)
build-tsan:
	$(ANOTHER) SANITIZE=thread CFLAGS='-O1 -g' ISAS=$(ONE_ISA)
build-clang:
	$(ANOTHER) CC=clang

##: make fuzz T=image [SECONDS=60]  feed a parser damaged bytes: T is a target of tests/fuzz; those in C need clang and libclang-rt-dev
##:           [WITH=libmd4c.a]      with a library that is built for the fuzzer (-fsanitize=fuzzer-no-link,address,undefined)
##:           [GUIDED=yes]          for a target in Lua that takes a string: by libFuzzer, too
FUZZ_image = image png sys
FUZZ_npy   = npy dtype sys tensor
FUZZ_zip   = zip
FUZZ_md4c  = md4c
FUZZ_jansson = jansson
FUZZ_message = message sys
FUZZ_http = microhttpd http
FUZZ_LIBS  = $(call flags,--cflags --libs $(LUA) libzip md4c jansson zlib libmicrohttpd)
FUZZ_FLAGS = -std=gnu11 -D_GNU_SOURCE -O1 -g -Icore -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_FLAGS_image = -fno-sanitize-coverage=trace-cmp # its loops over pixels would take most of the time
FUZZ_FLAGS_lua = -fno-sanitize=address,undefined # they would see nothing of Lua, and take most of the time
FUZZ = $(BUILD)/fuzz
TARGET = $(or $(T),image)
SECONDS ?= 60
FUZZ_RUN = -max_total_time=$(SECONDS) $(FUZZ_OPTIONS) -artifact_prefix=$(FUZZ)/ -max_len=1024 -timeout=10 \
  $(addprefix -dict=,$(wildcard tests/fuzz/$(TARGET).dict)) $(FUZZ)/found/$(TARGET) $(FUZZ)/from/$(TARGET)
fuzz: $(if $(wildcard tests/fuzz/$(TARGET).c),fuzz-c,$(if $(GUIDED),fuzz-guided,fuzz-lua))
fuzz-lua: all
	@$(PROGRAM) tests/fuzz/run.lua $(TARGET) --seconds $(SECONDS) $(FUZZ_OPTIONS)
fuzz-guided: all $(FUZZ)/lua
	@mkdir -p $(FUZZ)/found/$(TARGET) $(FUZZ)/from/$(TARGET)
	@$(PROGRAM) tests/fuzz/run.lua $(TARGET) --runs 500 --keep $(FUZZ)/from/$(TARGET)
	FUZZ_LUA=$(TARGET) LUA_PATH='lua/?.lua;lua/?/init.lua;?.lua;;' LUA_CPATH='$(BUILD)/lib/?.so;;' $(FUZZ)/lua $(FUZZ_RUN)
fuzz-c: $(FUZZ)/seeds $(FUZZ)/$(TARGET)
	@mkdir -p $(FUZZ)/found/$(TARGET) $(FUZZ)/from && $(FUZZ)/seeds $(FUZZ)/from
	$(FUZZ)/$(TARGET) $(FUZZ_RUN)
$(FUZZ)/seeds: tests/fuzz/seeds.c
	@mkdir -p $(@D)
	$(say)clang $(FUZZ_FLAGS) -fno-sanitize=undefined -o $@ $< $(FUZZ_LIBS) -lm
$(FUZZ)/%: tests/fuzz/%.c tests/fuzz/memory.c $(wildcard core/*.[ch] tests/fuzz/*.h) $(WITH)
	@mkdir -p $(@D)
	$(say)clang $(FUZZ_FLAGS) -fsanitize=fuzzer $(FUZZ_FLAGS_$*) $(FLAGS_FILE_$*) -o $@ $(filter tests/%.c,$^) \
	  $(FUZZ_$*:%=core/%.c) $(WITH) $(FUZZ_LIBS) -lm

##: make install, uninstall PREFIX=/usr/local DESTDIR=
SHARE = $(DESTDIR)$(PREFIX)/share/lua/5.4
MODULES_TO = $(DESTDIR)$(PREFIX)/lib/lua/5.4/giemsa
COURSE = $(DESTDIR)$(PREFIX)/share/giemsa
install: all
	cd lua && find giemsa '(' -name '*.lua' -o -name 'client.*' ')' -exec install -D -m 644 {} $(abspath $(SHARE))/{} ';'
	install -D -m 644 -t $(COURSE)/notebooks notebooks/*.lua
	install -D -m 644 -t $(COURSE)/datasets datasets/*.lua
	install -D -t $(MODULES_TO) $(wordlist 2,99,$(TARGETS))
	install -D -t $(DESTDIR)$(PREFIX)/bin $(PROGRAM)
uninstall:
	rm -rf $(SHARE)/giemsa $(MODULES_TO) $(COURSE) $(DESTDIR)$(PREFIX)/bin/giemsa

##: make clean               remove what was built
clean:
	rm -rf build build-*

.PHONY: all help run html test bench fuzz fuzz-lua fuzz-guided fuzz-c asan tsan build-asan build-tsan build-clang install uninstall clean FORCE
.DELETE_ON_ERROR:
