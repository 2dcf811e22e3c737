/* What the verbs of a script are made of: its arguments, its outputs, and logs as texts. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include <waldo.h>

/* Says what is wrong with the step, and ends the program. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Zeros; never NULL. */
void *memory(size_t size);

/* A text that grows. */
struct text {
    char *bytes;
    size_t len, room;
};

void put(struct text *text, const char *bytes, size_t len);
void put_payload(struct text *text, const uint8_t *payload, uint64_t len);
void put_log(struct text *text, const waldo_log *log);

/* Logs and payloads as scripts have them. They are kept for good: the library may use them. */
size_t parse_logs(const char *from, waldo_log **logs);

struct packed {
    struct text base;
    uint64_t *ends;
    size_t count;
};

struct packed parse_payloads(const char *from, int64_t times);

/* The arguments of the step; one that no verb asks for is wrong. */
const char *text(const char *key);
int64_t integer(const char *key, int64_t otherwise);
uint64_t number(const char *key);
/* A number, or names of constants with | in between. */
uint32_t bits(const char *key);

/* The outputs of the step. */
void output(const char *key, const char *value);
void output_text(const char *key, struct text *value);
void output_number(const char *key, uint64_t value);
void output_status(waldo_status status);

/* Carries out the steps of a script by the verbs; answers how many. */
struct verb {
    const char *name;
    void (*run)(void);
};

size_t run_script(const char *path, const struct verb *verbs, size_t verb_count);

#endif
