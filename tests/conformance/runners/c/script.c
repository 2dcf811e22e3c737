#define _GNU_SOURCE
#include "script.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 64 };

/* Where the script is, for messages. */
static const char *script;
static size_t line_number;

void wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%zu: ", script, line_number);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void *memory(size_t size)
{
    void *found = calloc(1, size + 1);
    if (found == NULL)
        wrong("out of memory");
    return found;
}

void put(struct text *text, const char *bytes, size_t len)
{
    if (text->len + len >= text->room) {
        text->room = (text->len + len) * 2 + 64;
        text->bytes = realloc(text->bytes, text->room);
        if (text->bytes == NULL)
            wrong("out of memory");
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = 0;
}

static void put_number(struct text *text, uint64_t number)
{
    char digits[24];
    put(text, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number));
}

void put_payload(struct text *text, const uint8_t *payload, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        char escaped[8];
        const uint8_t byte = payload[i];
        int is_plain = byte < 128 && (isalnum(byte) || (byte != 0 && strchr("_.-", byte)));
        put(text, escaped, (size_t)snprintf(escaped, 8, is_plain ? "%c" : "%%%02x", byte));
    }
}

void put_log(struct text *text, const waldo_log *log)
{
    if (text->len > 0)
        put(text, ",", 1);
    put_number(text, log->seq_no);
    put(text, ":", 1);
    put_number(text, log->prev_seq_no);
    put(text, ":", 1);
    put_payload(text, log->data, log->len);
}

/* A payload, such as `a%2c` or `x*1000`, up to `end`. */
static struct text unescape(const char *from, const char *end)
{
    struct text unit = {0}, all = {0};
    while (from < end && *from != '*') {
        char byte = *from++;
        if (byte == '%') {
            const char digits[3] = {from[0], from[1], 0};
            byte = (char)strtol(digits, NULL, 16);
            from += 2;
        }
        put(&unit, &byte, 1);
    }
    long times = from < end ? strtol(from + 1, NULL, 10) : 1;
    put(&all, "", 0);
    while (unit.len > 0 && times-- > 0)
        put(&all, unit.bytes, unit.len);
    free(unit.bytes);
    return all;
}

static const char *end_of_item(const char *from)
{
    return from + strcspn(from, ",");
}

size_t parse_logs(const char *from, waldo_log **logs)
{
    size_t count = 0;
    if (from == NULL)
        from = "";
    *logs = memory(strlen(from) * sizeof **logs);
    while (*from != 0) {
        char *rest;
        waldo_log *log = &(*logs)[count++];
        log->seq_no = strtoull(from, &rest, 10);
        log->prev_seq_no = strtoull(rest + 1, &rest, 10);
        const char *end = end_of_item(rest);
        struct text payload = unescape(rest + 1, end);
        log->data = (const uint8_t *)payload.bytes;
        log->len = payload.len;
        from = *end == ',' ? end + 1 : end;
    }
    return count;
}

struct packed parse_payloads(const char *given, int64_t times)
{
    struct packed packed = {0};
    put(&packed.base, "", 0);
    if (given == NULL)
        return packed;
    packed.ends = memory((strlen(given) + 1) * (size_t)times * sizeof(uint64_t));
    for (int64_t i = 0; i < times; i++) {
        for (const char *from = given;;) {
            const char *end = end_of_item(from);
            struct text payload = unescape(from, end);
            put(&packed.base, payload.bytes, payload.len);
            packed.ends[packed.count++] = packed.base.len;
            free(payload.bytes);
            if (*end == 0)
                break;
            from = end + 1;
        }
    }
    return packed;
}

/* The arguments of a step; each must be asked for. */

static struct argument {
    const char *key, *value;
    int is_asked;
} arguments[WORDS];
static size_t argument_count;

const char *text(const char *key)
{
    for (size_t i = 0; i < argument_count; i++) {
        if (strcmp(arguments[i].key, key) == 0) {
            arguments[i].is_asked = 1;
            return arguments[i].value;
        }
    }
    return NULL;
}

int64_t integer(const char *key, int64_t otherwise)
{
    const char *found = text(key);
    if (found == NULL)
        return otherwise;
    return found[0] == '-' ? strtoll(found, NULL, 10) : (int64_t)strtoull(found, NULL, 10);
}

uint64_t number(const char *key)
{
    return (uint64_t)integer(key, 0);
}

uint32_t bits(const char *key)
{
    static const struct {
        const char *name;
        uint32_t value;
    } names[] = {
        {"ASSIGN", WALDO_APPEND_ASSIGN}, {"ATOMIC", WALDO_APPEND_ATOMIC},
        {"DURABLE", WALDO_APPEND_DURABLE}, {"BORROW", WALDO_APPEND_BORROW},
        {"WAIT", WALDO_QUERY_WAIT}, {"TRIM", WALDO_CURSOR_TRIM},
        {"TIP", WALDO_CURSOR_TIP}, {"AFTER", WALDO_CURSOR_AFTER},
        {"FROM", WALDO_CURSOR_FROM},
    };
    const char *from = text(key);
    if (from == NULL || isdigit((unsigned char)*from))
        return (uint32_t)number(key);
    uint32_t found = 0;
    for (;;) {
        size_t len = strcspn(from, "|"), i = 0;
        while (strlen(names[i].name) != len || strncmp(names[i].name, from, len) != 0)
            if (++i == sizeof names / sizeof *names)
                wrong("there is no constant %s", from);
        found |= names[i].value;
        if (from[len] == 0)
            return found;
        from += len + 1;
    }
}

/* The outputs of a step. */

static struct output {
    const char *key;
    char *value;
} outputs[WORDS];
static size_t output_count;

void output(const char *key, const char *value)
{
    struct text copy = {0};
    put(&copy, value, strlen(value));
    output_text(key, &copy);
}

void output_text(const char *key, struct text *value)
{
    put(value, "", 0);
    outputs[output_count].key = key;
    outputs[output_count++].value = value->bytes;
}

void output_number(const char *key, uint64_t value)
{
    struct text digits = {0};
    put_number(&digits, value);
    output_text(key, &digits);
}

void output_status(waldo_status status)
{
    output("status", waldo_status_name(status));
}

static void carry_out(const char *name, const struct verb *verb, size_t verb_count)
{
    for (; verb_count > 0 && strcmp(verb->name, name) != 0; verb_count--)
        verb++;
    if (verb_count == 0)
        wrong("there is no verb %s", name);
    verb->run();
    for (size_t i = 0; i < argument_count; i++)
        if (!arguments[i].is_asked)
            wrong("%s has no argument %s", name, arguments[i].key);
}

/* What is expected of logs, in the form in which they come back. */
static char *expanded(const char *value)
{
    waldo_log *logs;
    struct text written = {0};
    size_t count = parse_logs(value, &logs);
    put(&written, "", 0);
    for (size_t i = 0; i < count; i++)
        put_log(&written, &logs[i]);
    return written.bytes;
}

static void compare(const char *key, char operator, const char *wanted)
{
    size_t i = 0;
    while (i < output_count && strcmp(outputs[i].key, key) != 0)
        i++;
    if (i == output_count)
        wrong("there is no output %s", key);
    const char *actual = outputs[i].value;
    if (strcmp(key, "logs") == 0)
        wanted = expanded(wanted);
    int holds = 0;
    switch (operator) {
    case '=':
        holds = strcmp(actual, wanted) == 0;
        break;
    case '>':
        holds = strtoll(actual, NULL, 10) > strtoll(wanted, NULL, 10);
        break;
    default:
        holds = strstr(actual, wanted) != NULL;
    }
    if (!holds)
        wrong("%s is %s, not %c%s", key, actual, operator, wanted);
}

static void compare_all(char *expected)
{
    int has_status = 0;
    for (char *word = strtok(expected, " "); word != NULL; word = strtok(NULL, " ")) {
        if (strncmp(word, "WALDO_", 6) == 0) {
            compare("status", '=', word);
            has_status = 1;
            continue;
        }
        size_t len = strcspn(word, "=>~");
        char operator = word[len];
        if (operator == 0)
            wrong("cannot be compared: %s", word);
        word[len] = 0;
        compare(word, operator, word + len + 1);
    }
    if (!has_status && output_count > 0 && strcmp(outputs[0].key, "status") == 0)
        wrong("the step does not say which status it expects");
}

static void step(char *line, const struct verb *verbs, size_t verb_count)
{
    char *expected = strstr(line, "=>");
    if (expected != NULL) {
        *expected = 0;
        expected += 2;
    }
    argument_count = output_count = 0;
    const char *name = strtok(line, " ");
    for (char *word = strtok(NULL, " "); word != NULL; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');
        if (value == NULL || argument_count == WORDS)
            wrong("no argument: %s", word);
        *value = 0;
        arguments[argument_count++] = (struct argument){word, value + 1, 0};
    }
    carry_out(name, verbs, verb_count);
    char none[1] = "";
    compare_all(expected == NULL ? none : expected);
    for (size_t i = 0; i < output_count; i++)
        free(outputs[i].value);
}

size_t run_script(const char *path, const struct verb *verbs, size_t verb_count)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, steps = 0;
    script = path;
    line_number = 0;
    if (file == NULL)
        wrong("cannot be read");
    while (getline(&line, &room, file) >= 0) {
        line_number++;
        line[strcspn(line, "\n")] = 0;
        if (line[0] != 0 && line[0] != '#') {
            step(line, verbs, verb_count);
            steps++;
        }
    }
    free(line);
    fclose(file);
    return steps;
}
