/* A plug-in for qemu's user emulation that counts the instructions of an emulated program.
 *
 * At every system call whose first argument is MARKER the count so far goes into the file named by the
 * plug-in's argument out=PATH, as a line "tag count"; the tag is the call's second argument. prctl(MARKER, tag)
 * does nothing else: the kernel refuses it. Each thread is counted by itself, and a marker tells of the thread
 * that sets it: engines and libraries have others, which wake as they like.
 *
 * Debian packages no header for qemu 7.2; this is the part of version 1 of its interface that is used here.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define MARKER 0x51434e54
#define MOST_THREADS 256

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed_t)(unsigned, void *);
typedef void (*called_t)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                         uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_t, enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, called_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

EXPORTED int qemu_plugin_version = 1;

static uint64_t instructions[MOST_THREADS];
static FILE *out;

static void executed(unsigned thread, void *count) {
    instructions[thread % MOST_THREADS] += (uintptr_t)count;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    void *count = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, QEMU_PLUGIN_CB_NO_REGS, count);
}

static void called(qemu_plugin_id_t id, unsigned thread, int64_t number, uint64_t first, uint64_t second, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)number, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (first == MARKER) {
        fprintf(out, "%llu %llu\n", (unsigned long long)second,
                (unsigned long long)instructions[thread % MOST_THREADS]);
        fflush(out);
    }
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || !(out = fopen(argv[0] + 4, "w"))) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
