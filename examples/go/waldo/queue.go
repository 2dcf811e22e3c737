package waldo

/*
#include <waldo.h>
*/
import "C"

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	queueDepth = 4096
	batchSize  = 256
)

// queue is a completion queue, and a goroutine that hands its completions to those who wait.
type queue struct {
	handle *C.waldo_queue
	// A duplicate of the queue's file descriptor, for the runtime's network poller.
	file *os.File

	mutex    sync.Mutex
	users    int
	waiting  map[C.uint64_t]*Pending
	newest   C.uint64_t
	progress chan struct{} // closed by the next completions
}

// Pending is an operation that was submitted.
type Pending struct {
	over chan struct{}
	done completion
	err  error
}

// completion is what Go keeps of one.
type completion struct {
	lastSeqNo uint64
	logs      []Log
}

func newQueue() (*queue, error) {
	var e C.waldo_error
	q := &queue{users: 1, waiting: map[C.uint64_t]*Pending{}, progress: make(chan struct{})}
	if err := check(C.waldo_queue_new(queueDepth, &q.handle, &e), &e); err != nil {
		return nil, err
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(C.waldo_queue_fd(q.handle)))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		C.waldo_queue_release(q.handle)
		return nil, err
	}
	q.file = os.NewFile(uintptr(fd), "waldo queue")
	conn, err := q.file.SyscallConn()
	if err != nil {
		C.waldo_queue_release(q.handle)
		return nil, err
	}
	go q.run(conn)
	return q, nil
}

func (q *queue) retain() {
	q.mutex.Lock()
	q.users++
	q.mutex.Unlock()
}

func (q *queue) release() {
	q.mutex.Lock()
	q.users--
	if q.users == 0 {
		q.file.Close() // ends run
	}
	q.mutex.Unlock()
}

// run takes completions out, and has the poller wake it where there are none.
func (q *queue) run(conn syscall.RawConn) {
	batch := make([]C.waldo_completion, batchSize)
	for {
		var taken []C.waldo_completion
		err := conn.Read(func(uintptr) bool {
			count := C.waldo_queue_poll(q.handle, &batch[0], batchSize)
			taken = batch[:count]
			return count > 0
		})
		if err != nil {
			C.waldo_queue_release(q.handle)
			return
		}
		q.mutex.Lock()
		for i := range taken {
			pending := q.waiting[taken[i].user_data]
			delete(q.waiting, taken[i].user_data)
			pending.finish(&taken[i])
		}
		close(q.progress)
		q.progress = make(chan struct{})
		q.mutex.Unlock()
	}
}

// submit submits an operation, as soon as there is room for it.
func (q *queue) submit(call func(C.uint64_t, *C.waldo_error) C.waldo_status) (*Pending, error) {
	var e C.waldo_error
	pending := &Pending{over: make(chan struct{})}
	for {
		q.mutex.Lock()
		q.newest++
		userData, progress := q.newest, q.progress
		q.waiting[userData] = pending
		q.mutex.Unlock()
		status := call(userData, &e)
		if status == C.WALDO_OK {
			return pending, nil
		}
		q.mutex.Lock()
		delete(q.waiting, userData)
		q.mutex.Unlock()
		if status != C.WALDO_AGAIN {
			return nil, check(status, &e)
		}
		// After a completion, or a moment later, where others use the store as well.
		select {
		case <-progress:
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *Pending) finish(done *C.waldo_completion) {
	if done.status != C.WALDO_OK {
		p.err = &Error{Status(done.status), uint64(done.wanted), uint64(done.actual), ""}
	}
	p.done = completion{uint64(done.last_seq_no), readChunk(done.chunk)}
	close(p.over)
}

// Wait waits until an append is acknowledged; it answers the number of the last log. Where ctx ends
// before, the logs may be appended all the same.
func (p *Pending) Wait(ctx context.Context) (uint64, error) {
	done, err := p.wait(ctx)
	return done.lastSeqNo, err
}

func (p *Pending) wait(ctx context.Context) (completion, error) {
	select {
	case <-p.over:
		return p.done, p.err
	case <-ctx.Done():
		return completion{}, ctx.Err()
	}
}

// readChunk copies the logs of a chunk to memory of Go's, in one piece, and releases the chunk.
func readChunk(chunk *C.waldo_chunk) []Log {
	count := C.waldo_chunk_count(chunk)
	if count == 0 {
		C.waldo_chunk_release(chunk)
		return nil
	}
	described := make([]C.waldo_log, count)
	C.waldo_chunk_logs(chunk, 0, &described[0], count)
	var size C.size_t
	start := unsafe.Pointer(C.waldo_chunk_data(chunk, &size))
	memory := C.GoBytes(start, C.int(size))
	C.waldo_chunk_release(chunk)
	logs := make([]Log, count)
	for i, log := range described {
		offset := uintptr(unsafe.Pointer(log.data)) - uintptr(start)
		data := memory[offset : offset+uintptr(log.len)]
		logs[i] = Log{uint64(log.seq_no), uint64(log.prev_seq_no), data}
	}
	return logs
}
