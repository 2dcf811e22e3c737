package main

/*
#include <waldo.h>
*/
import "C"

import (
	"sync"
	"time"
	"unsafe"
)

// queue is a completion queue, and the completions that came out of it and were not asked for yet.
type queue struct {
	handle   *C.waldo_queue
	isPolled bool

	mutex   sync.Mutex
	taken   []C.waldo_completion
	arrived chan struct{}
}

// callbackQueues are found by the context of their callback.
var callbackQueues sync.Map

//export onCompletions
func onCompletions(context unsafe.Pointer, completions *C.waldo_completion, count C.size_t) {
	found, _ := callbackQueues.Load(uintptr(context))
	q := found.(*queue)
	q.mutex.Lock()
	q.taken = append(q.taken, unsafe.Slice(completions, count)...)
	q.mutex.Unlock()
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

func (q *queue) find(userData uint64) (C.waldo_completion, bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for at, done := range q.taken {
		if uint64(done.user_data) == userData {
			q.taken = append(q.taken[:at], q.taken[at+1:]...)
			return done, true
		}
	}
	return C.waldo_completion{}, false
}

func (q *queue) take(userData uint64) C.waldo_completion {
	deadline := time.After(patience)
	for {
		if done, isFound := q.find(userData); isFound {
			return done
		}
		if q.isPolled {
			var done C.waldo_completion
			var count C.size_t
			C.waldo_queue_wait(q.handle, &done, 1, 1, C.int64_t(patience), &count)
			if count == 0 {
				fail("no completion has the user_data %d", userData)
			}
			q.taken = append(q.taken, done)
			continue
		}
		select {
		case <-q.arrived:
		case <-deadline:
			fail("no completion has the user_data %d", userData)
		}
	}
}
