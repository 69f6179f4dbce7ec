BUILD ?= build
CC ?= gcc
LUA_CFLAGS := $(shell pkg-config --cflags lua5.4 2>/dev/null || echo -I/usr/include/lua5.4)
CFLAGS = -std=gnu11 -D_GNU_SOURCE -O3 -g -ffp-contract=fast -fno-math-errno -fno-trapping-math -fPIC -fvisibility=hidden -pthread -Wall -Wextra $(LUA_CFLAGS)
ISAS = v4 v3 base
FLAGS_v4 = -march=x86-64-v4 -mprefer-vector-width=512
FLAGS_v3 = -march=x86-64-v3
FLAGS_base =
NOT_CORE = core/dispatch.c core/main.c core/zip.c core/curl.c
SOURCES = $(filter-out $(NOT_CORE), $(wildcard core/*.c))

all: $(BUILD)/lib/giemsa/core.so $(ISAS:%=$(BUILD)/lib/giemsa/core-%.so)

define core_for
$(BUILD)/lib/giemsa/core-$(1).so: $(SOURCES:core/%.c=$(BUILD)/$(1)/%.o)
	@mkdir -p $$(@D)
	$(CC) -shared -pthread -o $$@ $$^ -lopenblas -lm
$(BUILD)/$(1)/%.o: core/%.c Makefile
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS) $(FLAGS_$(1)) -DGIEMSA_ISA='"$(1)"' -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call core_for,$(isa))))

$(BUILD)/lib/giemsa/core.so: core/dispatch.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -shared -o $@ $< -ldl

-include $(wildcard $(BUILD)/*/*.d)
clean:
	rm -rf $(BUILD)
.PHONY: all clean
