// A stand-in for libnvidia-ml.so.1: what the worker and `byteleap doctor gpu` read of cards can be tested where there is no
// GPU. Its cards are those of the fake libcuda.so.1: the same uuids at the same PCI addresses. It answers what src/spoke/probe
// calls; every other entry is absent, as in an old driver. It is a test double: nothing that it measures means anything.
//
// Each knob is looked for in the file that FAKE_NVML_STATE names (lines NAME=VALUE, read anew each time: a test can change
// them under a running program), then in the environment. Faults are those of the first card.
//   FAKE_NVML_DEVICES=N        cards (1)
//   FAKE_NVML_INIT=CODE        what nvmlInit_v2 answers (0; 9: the driver is not loaded; 18: another one is)
//   FAKE_NVML_HANG=1           the next question after memory is never answered
//   FAKE_NVML_DRIVER=TEXT      the driver's version (550.54.14)
//   FAKE_NVML_UUID=TEXT  FAKE_NVML_PCI=TEXT   another name, another place of the first card
//   FAKE_NVML_LOST=CODE        what every question to the first card is answered with (15: off the bus; 16: reset required)
//   FAKE_NVML_ECC=N            uncorrectable errors since the last reset
//   FAKE_NVML_REMAP=pending|failed
//   FAKE_NVML_THROTTLE=BITS    reasons for lower clocks, as nvml.h numbers them
//   FAKE_NVML_WIDTH=N          PCIe lanes of 16
//   FAKE_NVML_MIG=N            MIG is on, with N instances
//   FAKE_NVML_XID=N            one event with this number, each time the value changes
//   FAKE_NVML_BARE=1           a card of the consumer kind: no ECC, no remapping, no power, no MIG
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API __attribute__((visibility("default"))) int
#define CARDS 8

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, TIMEOUT = 10 };

typedef struct { int number; } Card;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned field, scope; long long at, took; unsigned type; int code; union { double d; unsigned u; unsigned long long ull; } value; } Field;
typedef struct { Card* card; unsigned long long type, data; unsigned gpu_instance, compute_instance; } Event;
typedef struct { Card* card; long last; } Set;

static Card cards[CARDS] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};

static const char* knob(const char* name) {
    static __thread char line[256];
    const char* state = getenv("FAKE_NVML_STATE");
    FILE* file = state ? fopen(state, "r") : NULL;
    size_t length = strlen(name);
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, name, length) == 0 && line[length] == '=') { fclose(file); return line + length + 1; }
    }
    if (file) fclose(file);
    return getenv(name);
}
static long number(const char* name, long otherwise) { const char* s = knob(name); return s && *s ? strtol(s, NULL, 0) : otherwise; }
static int faulty(const Card* card) { return card->number == 0; }
static long fault(const Card* card, const char* name, long otherwise) { return faulty(card) ? number(name, otherwise) : otherwise; }
static int bare(const Card* card) { return fault(card, "FAKE_NVML_BARE", 0) != 0; }
static int gate(const Card* card) { return (int)fault(card, "FAKE_NVML_LOST", 0); }
#define ASK(card) do { int code = gate(card); if (code) return code; } while (0)

API nvmlInit_v2(void) { return (int)number("FAKE_NVML_INIT", 0); }
API nvmlShutdown(void) { return OK; }
API nvmlSystemGetDriverVersion(char* text, unsigned length) {
    const char* version = knob("FAKE_NVML_DRIVER");
    snprintf(text, length, "%s", version ? version : "550.54.14");
    return OK;
}
API nvmlSystemGetCudaDriverVersion_v2(int* version) { *version = 12040; return OK; }
API nvmlDeviceGetCount_v2(unsigned* count) { long n = number("FAKE_NVML_DEVICES", 1); *count = (unsigned)(n < CARDS ? n : CARDS); return OK; }
API nvmlDeviceGetHandleByIndex_v2(unsigned index, Card** card) {
    if (index >= CARDS) return INVALID;
    ASK(&cards[index]);
    *card = &cards[index];
    return OK;
}

API nvmlDeviceGetUUID(Card* card, char* text, unsigned length) {
    ASK(card);
    const char* other = faulty(card) ? knob("FAKE_NVML_UUID") : NULL;
    if (other) snprintf(text, length, "%s", other);
    else snprintf(text, length, "GPU-fa4e0000-0000-0000-0000-%012d", card->number);
    return OK;
}
API nvmlDeviceGetName(Card* card, char* text, unsigned length) { ASK(card); snprintf(text, length, "NVIDIA H100 80GB HBM3"); return OK; }
API nvmlDeviceGetPciInfo_v3(Card* card, Pci* pci) {
    ASK(card);
    memset(pci, 0, sizeof *pci);
    const char* other = faulty(card) ? knob("FAKE_NVML_PCI") : NULL;
    if (other) snprintf(pci->bus_id, sizeof pci->bus_id, "%.31s", other);
    else snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", card->number + 1);
    pci->bus = (unsigned)card->number + 1;
    return OK;
}
API nvmlDeviceGetMemoryInfo_v2(Card* card, Memory* memory) {
    ASK(card);
    while (fault(card, "FAKE_NVML_HANG", 0)) usleep(20000);
    memory->total = 80ull << 30;
    memory->used = 1ull << 30;
    memory->reserved = 0;
    memory->free = memory->total - memory->used;
    return OK;
}
API nvmlDeviceGetTemperature(Card* card, int sensor, unsigned* celsius) { ASK(card); if (sensor) return INVALID; *celsius = 40; return OK; }
API nvmlDeviceGetPowerUsage(Card* card, unsigned* mw) { ASK(card); if (bare(card)) return NOT_SUPPORTED; *mw = 71500; return OK; }
API nvmlDeviceGetUtilizationRates(Card* card, Utilization* rates) { ASK(card); rates->gpu = 3; rates->memory = 1; return OK; }
API nvmlDeviceGetCurrPcieLinkWidth(Card* card, unsigned* lanes) { ASK(card); *lanes = (unsigned)fault(card, "FAKE_NVML_WIDTH", 16); return OK; }
API nvmlDeviceGetMaxPcieLinkWidth(Card* card, unsigned* lanes) { ASK(card); *lanes = 16; return OK; }
API nvmlDeviceGetCurrPcieLinkGeneration(Card* card, unsigned* generation) { ASK(card); *generation = 1; return OK; }
API nvmlDeviceGetMaxPcieLinkGeneration(Card* card, unsigned* generation) { ASK(card); *generation = 5; return OK; }
API nvmlDeviceGetCurrentClocksThrottleReasons(Card* card, unsigned long long* bits) { ASK(card); *bits = (unsigned long long)fault(card, "FAKE_NVML_THROTTLE", 1); return OK; }

API nvmlDeviceGetEccMode(Card* card, unsigned* now, unsigned* pending) { ASK(card); if (bare(card)) return NOT_SUPPORTED; *now = *pending = 1; return OK; }
API nvmlDeviceGetTotalEccErrors(Card* card, int kind, int counter, unsigned long long* count) {
    ASK(card);
    if (bare(card)) return NOT_SUPPORTED;
    *count = kind == 1 && counter == 0 ? (unsigned long long)fault(card, "FAKE_NVML_ECC", 0) : 0;
    return OK;
}
API nvmlDeviceGetFieldValues(Card* card, int count, Field* fields) {
    ASK(card);
    const char* remap = faulty(card) ? knob("FAKE_NVML_REMAP") : NULL;
    for (int i = 0; i < count; i++) {
        Field* field = &fields[i];
        field->type = 1;
        field->value.ull = 0;
        field->code = bare(card) || field->field < 142 || field->field > 145 ? NOT_SUPPORTED : OK;
        if (remap && field->field == 144) field->value.u = strcmp(remap, "pending") == 0;
        if (remap && field->field == 145) field->value.u = strcmp(remap, "failed") == 0;
    }
    return OK;
}

API nvmlDeviceGetMigMode(Card* card, unsigned* now, unsigned* pending) {
    ASK(card);
    if (bare(card)) return NOT_SUPPORTED;
    *now = *pending = fault(card, "FAKE_NVML_MIG", -1) >= 0;
    return OK;
}
API nvmlDeviceGetMaxMigDeviceCount(Card* card, unsigned* count) { ASK(card); *count = 7; return OK; }
API nvmlDeviceGetMigDeviceHandleByIndex(Card* card, unsigned index, Card** instance) {
    ASK(card);
    if ((long)index >= fault(card, "FAKE_NVML_MIG", 0)) return 6;
    *instance = card;
    return OK;
}

API nvmlEventSetCreate(Set** set) { *set = calloc(1, sizeof **set); return *set ? OK : 20; }
API nvmlEventSetFree(Set* set) { free(set); return OK; }
API nvmlDeviceRegisterEvents(Card* card, unsigned long long types, Set* set) {
    ASK(card);
    if (types != 8) return NOT_SUPPORTED;
    set->card = card;
    return OK;
}
API nvmlEventSetWait_v2(Set* set, Event* event, unsigned timeout_ms) {
    (void)timeout_ms;
    long xid = set->card ? fault(set->card, "FAKE_NVML_XID", 0) : 0;
    if (xid == set->last) return TIMEOUT;
    set->last = xid;
    if (xid == 0) return TIMEOUT;
    memset(event, 0, sizeof *event);
    event->card = set->card;
    event->type = 8;
    event->data = (unsigned long long)xid;
    return OK;
}
