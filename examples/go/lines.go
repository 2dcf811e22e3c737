// Lines appends the lines of a file durably, and tails them with a stream.
//
//	go build && ./lines DIRECTORY FILE
//
// It needs libwaldo where pkg-config and the loader find it.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"time"

	"lines/waldo"
)

const (
	linesPerAppend  = 64
	appendsUnderWay = 16
)

// readBatch reads some lines; io.EOF where there are no more.
func readBatch(reader *bufio.Reader) ([][]byte, error) {
	var lines [][]byte
	for len(lines) < linesPerAppend {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			lines = append(lines, line)
		}
		if err == io.EOF && len(lines) > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}

type submitted struct {
	pending *waldo.Pending
	at      time.Time
}

// appendFile appends a file, and answers how long each append took.
func appendFile(ctx context.Context, store *waldo.Store, path string) ([]time.Duration, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	var latencies []time.Duration
	var underWay []submitted
	await := func() error {
		first := underWay[0]
		underWay = underWay[1:]
		_, err := first.pending.Wait(ctx)
		latencies = append(latencies, time.Since(first.at))
		return err
	}
	for {
		lines, err := readBatch(reader)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		at := time.Now()
		pending, err := store.Submit(lines, waldo.Durable)
		if err != nil {
			return nil, err
		}
		underWay = append(underWay, submitted{pending, at})
		if len(underWay) == appendsUnderWay {
			if err := await(); err != nil {
				return nil, err
			}
		}
	}
	for len(underWay) > 0 {
		if err := await(); err != nil {
			return nil, err
		}
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	return latencies, nil
}

type tailed struct {
	lines, size int
	digest      []byte
	err         error
}

// tail reads a stream until its store is closed.
func tail(ctx context.Context, stream *waldo.Stream, result chan<- tailed) {
	defer stream.Close()
	var found tailed
	digest := sha256.New()
	for {
		logs, err := stream.Next(ctx)
		if err != nil {
			if !errors.Is(err, waldo.Closed) {
				found.err = err
			}
			found.digest = digest.Sum(nil)
			result <- found
			return
		}
		for _, line := range logs {
			found.lines++
			found.size += len(line.Data)
			digest.Write(line.Data)
		}
	}
}

func run(directory, path string) error {
	ctx := context.Background()
	store, err := waldo.Open(directory, waldo.Options{"file_capacity": "16777216"})
	if err != nil {
		return err
	}
	stream, err := store.Stream(waldo.Tip, 0)
	if err != nil {
		return err
	}
	result := make(chan tailed)
	go tail(ctx, stream, result)
	start := time.Now()
	latencies, err := appendFile(ctx, store, path)
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	if err := store.Close(); err != nil {
		return err
	}
	// The stream goes on to the last log.
	found := <-result
	if found.err != nil {
		return found.err
	}
	mb := float64(found.size) / 1e6
	fmt.Printf("appended %.2f MB in %.2f s: %.1f MB/s\n", mb, seconds, mb/seconds)
	if len(latencies) > 0 {
		median, worst := latencies[len(latencies)/2], latencies[len(latencies)-1]
		fmt.Printf("durable after %.2f ms (median), %.2f ms (longest)\n",
			median.Seconds()*1e3, worst.Seconds()*1e3)
	}
	fmt.Printf("tailed %d lines, %d bytes, SHA-256 %x\n", found.lines, found.size, found.digest)
	return nil
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: lines DIRECTORY FILE")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
