# giemsa. The targets are listed by `make help`; everything built is under $(BUILD).
#
# core/*.c is compiled once for each instruction set into lib/giemsa/core-<isa>.so; core.so only picks one when loaded.
# Libraries that not everybody has are bound in a module each (zip.so, ...), built where their headers are.

BUILD   ?= build
PREFIX  ?= /usr/local
CFLAGS  ?= -O3 -g
PKG_CONFIG ?= pkg-config
LUA     := lua5.4
ifeq ($(origin CC),default)
CC := gcc
endif

# One job a core, unless the caller said how many.
ifeq ($(findstring -j,$(MAKEFLAGS)),)
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

LUA_CFLAGS := $(call flags,--cflags $(LUA))
CORE_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(CFLAGS) -ffp-contract=fast -fno-math-errno -fno-trapping-math -fPIC \
  -fvisibility=hidden -pthread -Wall -Wextra $(if $(WERROR),-Werror) $(LUA_CFLAGS)

# module -> the pkg-config package it needs; the rest of core/ needs OpenBLAS and is the core
PACKAGE_zip = libzip
PACKAGE_curl = libcurl
PACKAGE_hash = nettle
PACKAGE_lineedit = libedit
OPTIONAL := zip curl hash lineedit
MODULES := $(foreach m,$(OPTIONAL),$(if $(wildcard core/$(m).c),$(if $(call has,$(PACKAGE_$(m))),$(m))))
CORE := $(filter-out dispatch main $(OPTIONAL),$(basename $(notdir $(wildcard core/*.c))))

LIB := $(BUILD)/lib/giemsa
TARGETS := $(BUILD)/bin/giemsa $(LIB)/core.so $(ISAS:%=$(LIB)/core-%.so) $(MODULES:%=$(LIB)/%.so)

say = $(if $(V),,@echo '  $@';) # V=1 shows the commands instead

all: $(TARGETS)
help:
	@sed -n 's/^##: //p' Makefile

# ---- building

define core_for
$(LIB)/core-$(1).so: $(CORE:%=$(BUILD)/$(1)/%.o)
	@mkdir -p $$(@D)
	$$(say)$(CC) $(CORE_CFLAGS) -shared -o $$@ $$^ $(call flags,--libs openblas) -lm
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
	$(say)$(CC) $(CORE_CFLAGS) -shared -o $@ $< $(call flags,--libs $(PACKAGE_$*))
$(BUILD)/bin/giemsa: $(BUILD)/obj/main.o
	@mkdir -p $(@D)
	@ln -sfn $(if $(filter /%,$(BUILD)),$(CURDIR),..)/lua $(BUILD)/lua
	$(say)$(CC) $(CORE_CFLAGS) -Wl,-E -o $@ $< $(call flags,--libs $(LUA)) -lm -ldl
$(BUILD)/obj/%.o: core/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(say)$(CC) $(CORE_CFLAGS) $(call flags,--cflags $(PACKAGE_$*)) -DGIEMSA_ISAS='"$(ISAS)"' -MMD -MP -c -o $@ $<

# Everything is compiled again when the compiler or its flags change, and only then.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(CORE_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CORE_CFLAGS)' > $@
-include $(wildcard $(BUILD)/*/*.d)

clean:
	rm -rf build build-*

.PHONY: all help clean FORCE
.DELETE_ON_ERROR:
