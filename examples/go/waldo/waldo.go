// Package waldo is a binding of libwaldo for Go, on its C ABI: a package to copy and to change.
//
//	store, err := waldo.Open("journal", waldo.Options{"ring_size": "8"})
//	last, err := store.Append(ctx, [][]byte{[]byte("one")}, waldo.Durable)
//	stream, err := store.Stream(waldo.Trim, 0)
//	logs, err := stream.Next(ctx)
//
// Waiting for appends and streams takes no thread: the runtime's network poller watches the file
// descriptor of a completion queue (see queue.go). All of it may be used from any goroutine; one at
// a time calls Next of a stream.
package waldo

/*
#cgo pkg-config: waldo
#include <stdlib.h>
#include <waldo.h>
*/
import "C"

import (
	"context"
	"fmt"
	"unsafe"
)

// Status is what a call of the C library answered: errors.Is(err, waldo.Closed).
type Status int32

const (
	Timeout  Status = C.WALDO_TIMEOUT
	Closed   Status = C.WALDO_CLOSED
	Locked   Status = C.WALDO_LOCKED
	Poisoned Status = C.WALDO_POISONED
	Full     Status = C.WALDO_FULL
	Trimmed  Status = C.WALDO_TRIMMED
)

func (s Status) Error() string {
	return C.GoString(C.waldo_status_name(C.waldo_status(s)))
}

// Error is a Status with what waldo.h says of its numbers.
type Error struct {
	Status         Status
	Wanted, Actual uint64
	Message        string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%v: wanted %d, actual %d", e.Status, e.Wanted, e.Actual)
	}
	return fmt.Sprintf("%v: %s", e.Status, e.Message)
}

func (e *Error) Unwrap() error { return e.Status }

func check(status C.waldo_status, e *C.waldo_error) error {
	if status == C.WALDO_OK {
		return nil
	}
	message := C.GoString(&e.message[0])
	return &Error{Status(status), uint64(e.wanted), uint64(e.actual), message}
}

// Options are settings by their names, as in waldo_options_set.
type Options map[string]string

// Flags of an append.
const (
	Durable uint32 = C.WALDO_APPEND_DURABLE
	Atomic  uint32 = C.WALDO_APPEND_ATOMIC
)

// Where reading starts.
const (
	Trim  uint32 = C.WALDO_CURSOR_TRIM
	Tip   uint32 = C.WALDO_CURSOR_TIP
	After uint32 = C.WALDO_CURSOR_AFTER
	From  uint32 = C.WALDO_CURSOR_FROM
)

// Log is one log that was read; Data is Go's own memory.
type Log struct {
	SeqNo, PrevSeqNo uint64
	Data             []byte
}

// Store is an open store.
type Store struct {
	handle *C.waldo
	queue  *queue
}

// Open opens the store in a directory, or makes one there.
func Open(path string, options Options) (*Store, error) {
	var settings *C.waldo_options
	var e C.waldo_error
	C.waldo_options_new(&settings)
	defer C.waldo_options_free(settings)
	for key, value := range options {
		key, value := C.CString(key), C.CString(value)
		status := C.waldo_options_set(settings, key, value, &e)
		C.free(unsafe.Pointer(key))
		C.free(unsafe.Pointer(value))
		if err := check(status, &e); err != nil {
			return nil, err
		}
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	queue, err := newQueue()
	if err != nil {
		return nil, err
	}
	store := &Store{queue: queue}
	if err := check(C.waldo_open(name, settings, &store.handle, &e), &e); err != nil {
		queue.release()
		return nil, err
	}
	return store, nil
}

// Submit appends payloads, which the store numbers, without waiting for it: appends are carried out
// in the order in which Submit was called. It waits only where there is no room for more.
func (s *Store) Submit(payloads [][]byte, flags uint32) (*Pending, error) {
	// Memory without pointers in it, which C may use during the call.
	var base []byte
	ends := make([]C.uint64_t, len(payloads))
	for i, payload := range payloads {
		base = append(base, payload...)
		ends[i] = C.uint64_t(len(base))
	}
	return s.queue.submit(func(userData C.uint64_t, e *C.waldo_error) C.waldo_status {
		return C.waldo_append_packed_async(
			s.handle, (*C.uint8_t)(first(base)), C.uint64_t(len(base)), first(ends),
			C.size_t(len(ends)), C.uint32_t(flags), s.queue.handle, userData, e)
	})
}

// first points to the first element, where there is one.
func first[T any](slice []T) *T {
	if len(slice) == 0 {
		return nil
	}
	return &slice[0]
}

// Append submits payloads, and waits until they are acknowledged; it answers the number of the
// last one. Where ctx ends before, they may be appended all the same.
func (s *Store) Append(ctx context.Context, payloads [][]byte, flags uint32) (uint64, error) {
	pending, err := s.Submit(payloads, flags)
	if err != nil {
		return 0, err
	}
	return pending.Wait(ctx)
}

// Sync makes durable what was appended before.
func (s *Store) Sync() error {
	var e C.waldo_error
	return check(C.waldo_sync(s.handle, &e), &e)
}

// Trim gives up the logs up to and with this number.
func (s *Store) Trim(upToSeqNo uint64) error {
	var e C.waldo_error
	return check(C.waldo_trim(s.handle, C.uint64_t(upToSeqNo), &e), &e)
}

// Close finishes what was submitted, and closes the store, which must not be used after it.
// Streams go on to the last log.
func (s *Store) Close() error {
	var e C.waldo_error
	err := check(C.waldo_close(s.handle, -1, &e), &e)
	C.waldo_release(s.handle)
	s.handle = nil
	s.queue.release()
	return err
}

// Stream makes a reader that starts at a cursor and follows the log.
func (s *Store) Stream(cursor uint32, seqNo uint64) (*Stream, error) {
	var e C.waldo_error
	stream := &Stream{queue: s.queue}
	status := C.waldo_stream_new(
		s.handle, C.uint32_t(cursor), C.uint64_t(seqNo), 0, &stream.handle, &e)
	if err := check(status, &e); err != nil {
		return nil, err
	}
	s.queue.retain()
	return stream, nil
}

// Stream is a reader of a store.
type Stream struct {
	handle *C.waldo_stream
	queue  *queue
	next   *Pending
}

// Next waits for the next logs. Where ctx ends before, they are left to the next call. Behind the
// last log of a closed store it answers Closed; after Trimmed it goes on with what is there.
func (s *Stream) Next(ctx context.Context) ([]Log, error) {
	if s.next == nil {
		next, err := s.queue.submit(func(userData C.uint64_t, e *C.waldo_error) C.waldo_status {
			return C.waldo_stream_next_async(s.handle, s.queue.handle, userData, e)
		})
		if err != nil {
			return nil, err
		}
		s.next = next
	}
	done, err := s.next.wait(ctx)
	if err == nil || ctx.Err() == nil {
		s.next = nil
	}
	return done.logs, err
}

// Close releases the stream; it must not be used after it.
func (s *Stream) Close() {
	C.waldo_stream_release(s.handle)
	s.handle = nil
	s.queue.release()
}
