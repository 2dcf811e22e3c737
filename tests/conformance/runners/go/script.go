package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// wrong is a step that does not answer what it must.
type wrong string

func fail(format string, values ...any) {
	panic(wrong(fmt.Sprintf(format, values...)))
}

// entry is a log, apart from where its payload is.
type entry struct {
	seqNo, prevSeqNo uint64
	payload          []byte
}

// unescape reads a payload, such as `a%2c` or `x*1000`.
func unescape(text string) []byte {
	unit, repeat, isRepeated := strings.Cut(text, "*")
	var plain []byte
	for at := 0; at < len(unit); at++ {
		if unit[at] != '%' {
			plain = append(plain, unit[at])
			continue
		}
		bytes, err := hex.DecodeString(unit[at+1 : at+3])
		if err != nil {
			fail("%v", err)
		}
		plain = append(plain, bytes...)
		at += 2
	}
	times := 1
	if isRepeated {
		times = int(parseNumber(repeat))
	}
	return []byte(strings.Repeat(string(plain), times))
}

func escape(payload []byte) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
	var text strings.Builder
	for _, b := range payload {
		if strings.IndexByte(plain, b) >= 0 {
			text.WriteByte(b)
		} else {
			fmt.Fprintf(&text, "%%%02x", b)
		}
	}
	return text.String()
}

func parseNumber(text string) uint64 {
	if strings.HasPrefix(text, "-") {
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			fail("%v", err)
		}
		return uint64(number)
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		fail("%v", err)
	}
	return number
}

func parseLogs(text string) []entry {
	var logs []entry
	for _, item := range strings.Split(text, ",") {
		if item == "" {
			continue
		}
		parts := strings.SplitN(item, ":", 3)
		if len(parts) != 3 {
			fail("no log: %s", item)
		}
		logs = append(logs, entry{parseNumber(parts[0]), parseNumber(parts[1]), unescape(parts[2])})
	}
	return logs
}

func formatLogs(logs []entry) string {
	var items []string
	for _, log := range logs {
		items = append(items, fmt.Sprintf("%d:%d:%s", log.seqNo, log.prevSeqNo, escape(log.payload)))
	}
	return strings.Join(items, ",")
}

// arguments are those of a step; each must be asked for.
type arguments struct {
	given map[string]string
	asked map[string]bool
}

func newArguments(words []string) arguments {
	a := arguments{map[string]string{}, map[string]bool{}}
	for _, word := range words {
		key, value, isPair := strings.Cut(word, "=")
		if !isPair {
			fail("no argument: %s", word)
		}
		a.given[key] = value
	}
	return a
}

func (a arguments) text(key string) (string, bool) {
	a.asked[key] = true
	value, isGiven := a.given[key]
	return value, isGiven
}

// number is a number, or names of constants with | in between.
func (a arguments) number(key string, otherwise int64) uint64 {
	text, isGiven := a.text(key)
	if !isGiven {
		return uint64(otherwise)
	}
	if strings.IndexFunc(text, func(r rune) bool { return r >= 'A' && r <= 'Z' }) < 0 {
		return parseNumber(text)
	}
	var sum uint64
	for _, name := range strings.Split(text, "|") {
		value, isKnown := constants[name]
		if !isKnown {
			fail("there is no constant %s", name)
		}
		sum += value
	}
	return sum
}

func (a arguments) check(verb string) {
	for key := range a.given {
		if !a.asked[key] {
			fail("%s has no argument %s", verb, key)
		}
	}
}

// results are the outputs of a step.
type results map[string]any

func compare(found results, expected []string) {
	hasStatus := false
	for _, word := range expected {
		if strings.HasPrefix(word, "WALDO_") {
			hasStatus = true
			word = "status=" + word
		}
		at := strings.IndexAny(word, "=>~")
		if at < 0 {
			fail("cannot be compared: %s", word)
		}
		key, operator, wanted := word[:at], word[at], word[at+1:]
		value, isThere := found[key]
		if !isThere {
			fail("there is no output %s", key)
		}
		if actual := fmt.Sprint(value); !holds(key, actual, operator, wanted) {
			fail("%s is %s, not %c%s", key, actual, operator, wanted)
		}
	}
	if _, isThere := found["status"]; isThere && !hasStatus {
		fail("the step does not say which status it expects")
	}
}

func holds(key, actual string, operator byte, wanted string) bool {
	switch operator {
	case '>':
		return int64(parseNumber(actual)) > int64(parseNumber(wanted))
	case '~':
		return strings.Contains(actual, wanted)
	}
	if key == "logs" {
		wanted = formatLogs(parseLogs(wanted))
	}
	return actual == wanted
}

func carryOut(line string) {
	call, expected, _ := strings.Cut(line, "=>")
	words := strings.Fields(call)
	verb, isKnown := verbs[words[0]]
	if !isKnown {
		fail("there is no verb %s", words[0])
	}
	a := newArguments(words[1:])
	found := verb(a)
	a.check(words[0])
	compare(found, strings.Fields(expected))
}

// run carries out a script; it answers how many steps that has.
func run(script string) int {
	text, err := os.ReadFile(script)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	handles = map[string]uintptr{}
	queues = map[string]*queue{}
	steps := 0
	for at, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		func() {
			defer func() {
				if reason := recover(); reason != nil {
					message, isWrong := reason.(wrong)
					if !isWrong {
						panic(reason)
					}
					fmt.Fprintf(os.Stderr, "%s:%d: %s\n    %s\n", script, at+1, line, message)
					os.Exit(1)
				}
			}()
			carryOut(line)
		}()
		steps++
	}
	return steps
}

func main() {
	steps := 0
	for _, script := range os.Args[1:] {
		steps += run(script)
	}
	fmt.Println(steps)
}
