// Carries out conformance scripts through cgo: runner SCRIPT...
package main

/*
#cgo pkg-config: waldo
#include <stdlib.h>
#include <string.h>
#include <waldo.h>

void onCompletions(void *context, waldo_completion *completions, size_t count);

static waldo_status queue_new_callback(uint32_t depth, void *context, waldo_queue **queue,
                                       waldo_error *error)
{
    return waldo_queue_new_callback(depth, (waldo_completion_fn)onCompletions, context, queue,
                                    error);
}
*/
import "C"

import (
	"reflect"
	"strings"
	"time"
	"unsafe"
)

const (
	patience = 30 * time.Second
	forEver  = -1
	// What outputs hold before a call, so that one that is not written is noticed.
	garbage       = 0x5a
	garbageNumber = 0x5a5a5a5a5a5a5a5a
)

var constants = map[string]uint64{
	"ASSIGN": C.WALDO_APPEND_ASSIGN, "ATOMIC": C.WALDO_APPEND_ATOMIC,
	"DURABLE": C.WALDO_APPEND_DURABLE, "BORROW": C.WALDO_APPEND_BORROW,
	"WAIT": C.WALDO_QUERY_WAIT, "TRIM": C.WALDO_CURSOR_TRIM, "TIP": C.WALDO_CURSOR_TIP,
	"AFTER": C.WALDO_CURSOR_AFTER, "FROM": C.WALDO_CURSOR_FROM,
}

var kinds = map[C.uint32_t]string{
	C.WALDO_KIND_OPEN: "OPEN", C.WALDO_KIND_CLOSE: "CLOSE", C.WALDO_KIND_APPEND: "APPEND",
	C.WALDO_KIND_SYNC: "SYNC", C.WALDO_KIND_TRIM: "TRIM", C.WALDO_KIND_TRUNCATE: "TRUNCATE",
	C.WALDO_KIND_CLEAR: "CLEAR", C.WALDO_KIND_QUERY: "QUERY",
	C.WALDO_KIND_STREAM_NEXT: "STREAM_NEXT",
}

// The handles of a script, by kind and name.
var handles map[string]uintptr
var queues map[string]*queue

// handle is what an argument names: a pointer of C's, kept as a number.
func handle[T any](kind string, a arguments) *T {
	name, isGiven := a.text(kind)
	if !isGiven || name == "NULL" {
		return nil
	}
	found, isThere := handles[kind+" "+name]
	if !isThere {
		fail("there is no %s %s", kind, name)
	}
	return *(**T)(unsafe.Pointer(&found))
}

func store(a arguments) *C.waldo           { return handle[C.waldo]("store", a) }
func options(a arguments) *C.waldo_options { return handle[C.waldo_options]("options", a) }
func stream(a arguments) *C.waldo_stream   { return handle[C.waldo_stream]("stream", a) }
func chunk(a arguments) *C.waldo_chunk     { return handle[C.waldo_chunk]("chunk", a) }
func rawQueue(a arguments) *C.waldo_queue  { return handle[C.waldo_queue]("queue", a) }
func seqNo(a arguments) C.uint64_t         { return C.uint64_t(a.number("seq_no", 0)) }
func userData(a arguments) C.uint64_t      { return C.uint64_t(a.number("user_data", 0)) }
func timeout(a arguments) C.int64_t        { return C.int64_t(a.number("timeout_ns", forEver)) }
func flags(a arguments) C.uint32_t         { return C.uint32_t(a.number("flags", 0)) }
func cursor(a arguments) C.uint32_t        { return C.uint32_t(a.number("cursor", 0)) }
func size(a arguments, key string) C.size_t {
	return C.size_t(a.number(key, 0))
}

// cText is a C string, which is kept; nil where the argument is not given.
func cText(key string, a arguments) *C.char {
	text, isGiven := a.text(key)
	if !isGiven {
		return nil
	}
	return C.CString(text)
}

func nameOf(status C.waldo_status) string { return C.GoString(C.waldo_status_name(status)) }

func give[T any](kind string, a arguments, status string, value *T) {
	address := uintptr(unsafe.Pointer(value))
	if (status == "WALDO_OK") != (value != nil) || address == garbageNumber {
		fail("%s with the %s %#x", status, kind, address)
	}
	name, _ := a.text(kind)
	handles[kind+" "+name] = address
}

// call calls a function that ends with a waldo_error, and checks what is in that.
func call(function func(*C.waldo_error) C.waldo_status) results {
	found := advised(function)
	if (found["status"] == "WALDO_OK") != (found["message"] == "") {
		fail("answers %s with the message '%s'", found["status"], found["message"])
	}
	return found
}

func advised(function func(*C.waldo_error) C.waldo_status) results {
	e := (*C.waldo_error)(C.malloc(C.sizeof_waldo_error))
	defer C.free(unsafe.Pointer(e))
	C.memset(unsafe.Pointer(e), garbage, C.sizeof_waldo_error)
	status := function(e)
	if e.status != status {
		fail("answers %s, but the error says %d", nameOf(status), e.status)
	}
	for _, number := range e.reserved {
		if number != 0 {
			fail("reserved is not zero")
		}
	}
	return results{
		"status": nameOf(status), "message": C.GoString(&e.message[0]), "os_errno": e.os_errno,
		"wanted": e.wanted, "actual": e.actual,
	}
}

// submit is call for asynchronous functions, which end alike.
func submit(
	a arguments,
	function func(*C.waldo_queue, C.uint64_t, *C.waldo_error) C.waldo_status,
) results {
	queue, userData := rawQueue(a), userData(a)
	return call(func(e *C.waldo_error) C.waldo_status { return function(queue, userData, e) })
}

// makeHandle calls a function that gives out a handle.
func makeHandle[T any](
	kind string, a arguments, function func(**T, *C.waldo_error) C.waldo_status,
) results {
	// Not Go's memory: what looks like a pointer in that must be one.
	out := (**T)(C.malloc(C.sizeof_size_t))
	defer C.free(unsafe.Pointer(out))
	*(*uint64)(unsafe.Pointer(out)) = garbageNumber
	found := call(func(e *C.waldo_error) C.waldo_status { return function(out, e) })
	if *(*uint64)(unsafe.Pointer(out)) == garbageNumber {
		fail("the %s is not written", kind)
	}
	give(kind, a, found["status"].(string), *out)
	return found
}

func numberFrom(
	key string, function func(*C.uint64_t, *C.waldo_error) C.waldo_status,
) results {
	out := C.uint64_t(garbageNumber)
	found := call(func(e *C.waldo_error) C.waldo_status { return function(&out, e) })
	found[key] = out
	return found
}

// Logs and payloads in memory of C's, which is kept: the library may still use it.

func kept(payload []byte) *C.uint8_t { return (*C.uint8_t)(C.CBytes(append(payload, 0))) }

func logs(a arguments) (*C.waldo_log, C.size_t) {
	text, _ := a.text("logs")
	given := parseLogs(text)
	array := (*C.waldo_log)(C.calloc(C.size_t(len(given)+1), C.sizeof_waldo_log))
	for at, log := range unsafe.Slice(array, len(given)) {
		log.seq_no, log.prev_seq_no = C.uint64_t(given[at].seqNo), C.uint64_t(given[at].prevSeqNo)
		log.data, log.len = kept(given[at].payload), C.uint64_t(len(given[at].payload))
		unsafe.Slice(array, len(given))[at] = log
	}
	return array, C.size_t(len(given))
}

func packed(a arguments) (base *C.uint8_t, len_ C.uint64_t, ends *C.uint64_t, count C.size_t) {
	text, isGiven := a.text("payloads")
	var bytes []byte
	var found []C.uint64_t
	for times := a.number("times", 1); isGiven && times > 0; times-- {
		for _, item := range strings.Split(text, ",") {
			bytes = append(bytes, unescape(item)...)
			found = append(found, C.uint64_t(len(bytes)))
		}
	}
	ends = (*C.uint64_t)(C.calloc(C.size_t(len(found)+1), C.sizeof_uint64_t))
	copy(unsafe.Slice(ends, len(found)+1), found)
	return kept(bytes), C.uint64_t(len(bytes)), ends, C.size_t(len(found))
}

func newQueue(
	a arguments, isPolled bool, function func(**C.waldo_queue, *C.waldo_error) C.waldo_status,
) (results, *queue) {
	found := makeHandle("queue", a, function)
	q := &queue{handle: rawQueue(a), isPolled: isPolled, arrived: make(chan struct{}, 1)}
	name, _ := a.text("queue")
	queues[name] = q
	return found, q
}

func knownQueue(a arguments) *queue {
	name, _ := a.text("queue")
	if queues[name] == nil {
		fail("there is no queue %s", name)
	}
	return queues[name]
}

// keep puts completions that were taken out where take finds them.
func keep(a arguments, completions []C.waldo_completion) {
	if len(completions) > 0 {
		q := knownQueue(a)
		q.taken = append(q.taken, completions...)
	}
}

// fields adds the numbers of a struct.
func fields(found results, value reflect.Value) results {
	for at := 0; at < value.NumField(); at++ {
		found[value.Type().Field(at).Name] = value.Field(at).Uint()
	}
	return found
}

func chunkLogs(chunk *C.waldo_chunk, first, capacity C.size_t) []entry {
	array := make([]C.waldo_log, capacity+1)
	count := C.waldo_chunk_logs(chunk, first, &array[0], capacity)
	var found []entry
	for _, log := range array[:count] {
		payload := C.GoBytes(unsafe.Pointer(log.data), C.int(log.len))
		found = append(found, entry{uint64(log.seq_no), uint64(log.prev_seq_no), payload})
	}
	return found
}

var verbs map[string]func(arguments) results

func nothing() results { return results{} }

func value(found any) results { return results{"value": found} }

func init() {
	verbs = map[string]func(arguments) results{
		// Versions, names, options.
		"version_number": func(arguments) results { return value(C.waldo_version_number()) },
		"version_string": func(arguments) results { return value(C.GoString(C.waldo_version_string())) },
		"abi_version":    func(arguments) results { return value(C.waldo_abi_version()) },
		"probe": func(arguments) results {
			out := C.uint64_t(garbageNumber)
			found := advised(func(e *C.waldo_error) C.waldo_status { return C.waldo_probe(&out, e) })
			found["features"] = out
			return found
		},
		"status_name": func(a arguments) results {
			return value(nameOf(C.waldo_status(a.number("status", 0))))
		},
		"status_traits": func(a arguments) results {
			return value(C.waldo_status_traits(C.waldo_status(a.number("status", 0))))
		},
		"options_new": func(a arguments) results {
			var out *C.waldo_options
			status := nameOf(C.waldo_options_new(&out))
			give("options", a, status, out)
			return results{"status": status}
		},
		"options_free": func(a arguments) results { C.waldo_options_free(options(a)); return nothing() },
		"options_set": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status {
				return C.waldo_options_set(options(a), cText("key", a), cText("value", a), e)
			})
		},
		"options_set_u64": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status {
				number := C.uint64_t(a.number("value", 0))
				return C.waldo_options_set_u64(options(a), cText("key", a), number, e)
			})
		},
		"options_get": func(a arguments) results {
			out := C.CString("garbage that is long enough to hold the value of each option there is")
			found := call(func(e *C.waldo_error) C.waldo_status {
				size := C.size_t(a.number("size", 64))
				return C.waldo_options_get(options(a), cText("key", a), out, size, e)
			})
			found["value"] = C.GoString(out)
			return found
		},
		"options_key": func(a arguments) results {
			key := C.waldo_options_key(size(a, "index"))
			if key == nil {
				return value("NULL")
			}
			return value(C.GoString(key))
		},

		// Queues.
		"queue_new": func(a arguments) results {
			depth := C.uint32_t(a.number("depth", 0))
			found, _ := newQueue(a, true, func(out **C.waldo_queue, e *C.waldo_error) C.waldo_status {
				return C.waldo_queue_new(depth, out, e)
			})
			return found
		},
		"queue_new_callback": func(a arguments) results {
			depth, context := C.uint32_t(a.number("depth", 0)), C.malloc(1)
			found, q := newQueue(a, false, func(out **C.waldo_queue, e *C.waldo_error) C.waldo_status {
				return C.queue_new_callback(depth, context, out, e)
			})
			callbackQueues.Store(uintptr(context), q)
			return found
		},
		"queue_fd": func(a arguments) results { return value(C.waldo_queue_fd(rawQueue(a))) },
		"queue_poll": func(a arguments) results {
			capacity := size(a, "capacity")
			out := make([]C.waldo_completion, capacity+1)
			count := C.waldo_queue_poll(rawQueue(a), &out[0], capacity)
			keep(a, out[:count])
			return results{"count": count}
		},
		"queue_wait": func(a arguments) results {
			capacity, count := size(a, "capacity"), C.size_t(garbageNumber)
			out := make([]C.waldo_completion, capacity+1)
			status := C.waldo_queue_wait(
				rawQueue(a), &out[0], capacity, size(a, "min"), timeout(a), &count)
			keep(a, out[:count])
			return results{"status": nameOf(status), "count": count}
		},
		"queue_cancel": func(a arguments) results {
			return results{"status": nameOf(C.waldo_queue_cancel(rawQueue(a), userData(a)))}
		},
		"queue_release": func(a arguments) results { C.waldo_queue_release(rawQueue(a)); return nothing() },
		"take":          take,

		// Stores.
		"open": func(a arguments) results {
			return makeHandle("store", a, func(out **C.waldo, e *C.waldo_error) C.waldo_status {
				return C.waldo_open(cText("path", a), options(a), out, e)
			})
		},
		"open_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_open_async(cText("path", a), options(a), q, u, e)
			})
		},
		"close": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status {
				return C.waldo_close(store(a), timeout(a), e)
			})
		},
		"close_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_close_async(store(a), q, u, e)
			})
		},
		"retain":  func(a arguments) results { C.waldo_retain(store(a)); return nothing() },
		"release": func(a arguments) results { C.waldo_release(store(a)); return nothing() },
		"append": func(a arguments) results {
			array, count := logs(a)
			return numberFrom("last_seq_no", func(out *C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_append(store(a), array, count, flags(a), out, e)
			})
		},
		"append_async": func(a arguments) results {
			array, count := logs(a)
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_append_async(store(a), array, count, flags(a), q, u, e)
			})
		},
		"append_packed": func(a arguments) results {
			base, length, ends, count := packed(a)
			return numberFrom("last_seq_no", func(out *C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_append_packed(store(a), base, length, ends, count, flags(a), out, e)
			})
		},
		"append_packed_async": func(a arguments) results {
			base, length, ends, count := packed(a)
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_append_packed_async(
					store(a), base, length, ends, count, flags(a), q, u, e)
			})
		},
		"sync": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status { return C.waldo_sync(store(a), e) })
		},
		"sync_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_sync_async(store(a), q, u, e)
			})
		},
		"trim": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status {
				return C.waldo_trim(store(a), seqNo(a), e)
			})
		},
		"trim_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_trim_async(store(a), seqNo(a), q, u, e)
			})
		},
		"truncate": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status {
				return C.waldo_truncate(store(a), seqNo(a), e)
			})
		},
		"truncate_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_truncate_async(store(a), seqNo(a), q, u, e)
			})
		},
		"clear": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status { return C.waldo_clear(store(a), e) })
		},
		"clear_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_clear_async(store(a), q, u, e)
			})
		},
		"metadata_get": func(a arguments) results {
			var out C.waldo_metadata
			C.memset(unsafe.Pointer(&out), garbage, C.sizeof_waldo_metadata)
			found := call(func(e *C.waldo_error) C.waldo_status {
				size := C.size_t(a.number("size", C.sizeof_waldo_metadata))
				return C.waldo_metadata_get(store(a), &out, size, e)
			})
			return fields(found, reflect.ValueOf(out))
		},
		"recovery_get": func(a arguments) results {
			var out C.waldo_recovery
			C.memset(unsafe.Pointer(&out), garbage, C.sizeof_waldo_recovery)
			found := call(func(e *C.waldo_error) C.waldo_status {
				size := C.size_t(a.number("size", C.sizeof_waldo_recovery))
				return C.waldo_recovery_get(store(a), &out, size, e)
			})
			return fields(found, reflect.ValueOf(out))
		},
		"prev_seq_no": func(a arguments) results {
			out := C.uint64_t(garbageNumber)
			status := nameOf(C.waldo_prev_seq_no(store(a), &out))
			return results{"status": status, "value": out}
		},
		"durable_seq_no": func(a arguments) results {
			out := C.uint64_t(garbageNumber)
			status := nameOf(C.waldo_durable_seq_no(store(a), &out))
			return results{"status": status, "value": out}
		},

		// Reading.
		"query": func(a arguments) results {
			return makeHandle("chunk", a, func(out **C.waldo_chunk, e *C.waldo_error) C.waldo_status {
				return C.waldo_query(store(a), cursor(a), seqNo(a), flags(a), timeout(a), out, e)
			})
		},
		"query_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_query_async(store(a), cursor(a), seqNo(a), flags(a), q, u, e)
			})
		},
		"stream_new": func(a arguments) results {
			return makeHandle("stream", a, func(out **C.waldo_stream, e *C.waldo_error) C.waldo_status {
				return C.waldo_stream_new(store(a), cursor(a), seqNo(a), flags(a), out, e)
			})
		},
		"stream_next": func(a arguments) results {
			return makeHandle("chunk", a, func(out **C.waldo_chunk, e *C.waldo_error) C.waldo_status {
				return C.waldo_stream_next(stream(a), timeout(a), out, e)
			})
		},
		"stream_next_async": func(a arguments) results {
			return submit(a, func(q *C.waldo_queue, u C.uint64_t, e *C.waldo_error) C.waldo_status {
				return C.waldo_stream_next_async(stream(a), q, u, e)
			})
		},
		"stream_position": func(a arguments) results { return value(C.waldo_stream_position(stream(a))) },
		"stream_seek": func(a arguments) results {
			return call(func(e *C.waldo_error) C.waldo_status {
				return C.waldo_stream_seek(stream(a), seqNo(a), e)
			})
		},
		"stream_release": func(a arguments) results { C.waldo_stream_release(stream(a)); return nothing() },
		"stream_read":    streamRead,
		"chunk_count":    func(a arguments) results { return value(C.waldo_chunk_count(chunk(a))) },
		"chunk_logs": func(a arguments) results {
			found := chunkLogs(chunk(a), size(a, "first"), size(a, "capacity"))
			return results{"count": len(found), "logs": formatLogs(found)}
		},
		"chunk_data": func(a arguments) results {
			length := C.size_t(garbageNumber)
			start := C.waldo_chunk_data(chunk(a), &length)
			if start == nil && length != 0 {
				fail("%d bytes at NULL", length)
			}
			data := C.GoBytes(unsafe.Pointer(start), C.int(length))
			return results{"len": length, "data": escape(data)}
		},
		"chunk_retain":  func(a arguments) results { C.waldo_chunk_retain(chunk(a)); return nothing() },
		"chunk_release": func(a arguments) results { C.waldo_chunk_release(chunk(a)); return nothing() },
	}
}

func take(a arguments) results {
	done := knownQueue(a).take(uint64(userData(a)))
	for kind, address := range map[string]uintptr{
		"chunk": uintptr(unsafe.Pointer(done.chunk)), "store": uintptr(unsafe.Pointer(done.store)),
	} {
		name, isNamed := a.text(kind)
		if address != 0 && !isNamed {
			fail("the completion has a %s, which the step does not name", kind)
		}
		handles[kind+" "+name] = address
	}
	if done.flags != 0 || done.reserved[0] != 0 || done.reserved[1] != 0 {
		fail("flags or reserved of the completion are not zero")
	}
	return results{
		"status": nameOf(done.status), "kind": kinds[done.kind], "os_errno": done.os_errno,
		"first_seq_no": done.first_seq_no, "last_seq_no": done.last_seq_no, "count": done.count,
		"wanted": done.wanted, "actual": done.actual,
	}
}

func streamRead(a arguments) results {
	var found []entry
	for count := int(a.number("count", 0)); len(found) < count; {
		var chunk *C.waldo_chunk
		status := call(func(e *C.waldo_error) C.waldo_status {
			return C.waldo_stream_next(stream(a), C.int64_t(patience), &chunk, e)
		})["status"]
		if status != "WALDO_OK" {
			fail("stream_next answers %s", status)
		}
		// A chunk may hold more.
		found = append(found, chunkLogs(chunk, 0, C.size_t(count-len(found)))...)
		C.waldo_chunk_release(chunk)
	}
	return results{"logs": formatLogs(found)}
}
