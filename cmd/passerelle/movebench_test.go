package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// BenchmarkLiveMove moves a tree between two gateways, each a process, over TLS on this machine, while its owner writes. The
// floor is what tar and age need to carry the same bytes there, and SHA-256 twice; wall and CPU time are those of both sides
// together, from when the person has said yes until they work at the new place.
func BenchmarkLiveMove(b *testing.B) {
	files := 50_000
	if testing.Short() {
		files = 2000
	}
	if n, err := strconv.Atoi(os.Getenv("PASSERELLE_BENCH_FILES")); err == nil {
		files = n
	}
	s := &bench{dir: b.TempDir(), files: files}
	if err := example.WriteTree(s.in("tree"), example.TreeOptions{Files: s.files}); err != nil {
		b.Fatal(err)
	}
	certificate, key, _ := selfSigned(b)
	b.Setenv("SSL_CERT_FILE", certificate)
	for b.Loop() {
		floor, floorWall := s.carried(b)
		m := s.moves(b, certificate, key)
		b.ReportMetric(m.cpu.Seconds()/floor.cpu.Seconds(), "cpu-ratio")
		b.ReportMetric(m.wall.Seconds()/floorWall.Seconds(), "wall-ratio")
		b.ReportMetric(floor.cpu.Seconds(), "floor-cpu-s")
		b.ReportMetric(floorWall.Seconds(), "floor-wall-s")
		b.ReportMetric(float64(m.source.peak)/(1<<20), "MiB-source")
		b.ReportMetric(float64(m.destination.peak)/(1<<20), "MiB-destination")
		b.ReportMetric(m.source.cpu.Seconds(), "cpu-s-source")
		b.ReportMetric(m.destination.cpu.Seconds(), "cpu-s-destination")
		b.ReportMetric(m.fence.Seconds(), "fence-s")
		b.ReportMetric(float64(m.pending), "writes-while-moving")
	}
	b.ReportMetric(0, "ns/op")
}

// carried is what the floor takes.
func (s *bench) carried(b *testing.B) (cost, time.Duration) {
	b.Helper()
	if out, err := exec.Command("age-keygen", "-o", s.in("key")).CombinedOutput(); err != nil && !bytes.Contains(out, []byte("file exists")) {
		b.Skipf("the floor needs age and tar: %v %s", err, out)
	}
	public, err := exec.Command("age-keygen", "-y", s.in("key")).Output()
	if err != nil {
		b.Fatal(err)
	}
	tool(b, "tar", "cf", s.in("floor.tar"), "-C", s.dir, "tree") // to be hashed; it is no part of the floor
	began := time.Now()
	pipe := fmt.Sprintf("tar cf - -C %q tree | age -r %s | age -d -i %q | tar xf - -C %q", s.dir, strings.TrimSpace(string(public)), s.in("key"), s.fresh(b, "carried"))
	c := tool(b, "sh", "-c", pipe)
	for range 2 {
		c = c.plus(hashed(b, s.in("floor.tar")))
	}
	wall := time.Since(began)
	remove(b, s.in("carried"))
	remove(b, s.in("floor.tar"))
	return c, wall
}

// moved is what a move took.
type moved struct {
	cpu, wall, fence    time.Duration
	source, destination cost
	pending             int
}

func (s *bench) moves(b *testing.B, certificate, key string) (m moved) {
	b.Helper()
	remove(b, s.in("a.index"))
	p := &pair{from: s.fresh(b, "a"), to: s.fresh(b, "b"), fromURL: "https://127.0.0.1:" + freePort(b), toURL: "https://127.0.0.1:" + freePort(b),
		flags: []string{"--tls-cert", certificate, "--tls-key", key}}
	archive := filepath.Join(s.fresh(b, "out"), "x")
	mustCall(b, "--data", b.TempDir(), "export", "--from", "dir:"+s.in("tree"), "--out", archive)
	mustCall(b, "--data", p.from, "import", "--to", "home:alice", archive+indexSuffix)
	remove(b, s.in("out"))
	p.acquaint(b)
	source, destination := p.serve(b, p.from), p.serve(b, p.to)
	before := taken(b, source).plus(taken(b, destination))
	began := time.Now()
	command := p.brings(b)
	command.cmd.Process.Kill()
	command.cmd.Wait()
	ctx, stop := context.WithCancel(b.Context())
	written := make(chan int, 1)
	go func() { written <- s.writes(ctx, p.from) }()
	var fenced time.Time
	for {
		a := p.status(b)
		if fenced.IsZero() && (a.Stage == move.Fenced || a.Stage == move.Accepted) {
			fenced = a.Changed
		}
		if a.Done {
			m.wall, m.fence = time.Since(began), a.Changed.Sub(fenced)
			break
		}
		if a.Stage == move.Aborted || a.Trouble != "" {
			b.Fatalf("%+v", a)
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	m.pending = <-written
	m.source, m.destination = taken(b, source), taken(b, destination)
	m.cpu = m.source.cpu + m.destination.cpu - before.cpu
	source.stop(b)
	destination.stop(b)
	return m
}

// writes writes as somebody does who works with many programs, until nothing can be written any more.
func (s *bench) writes(ctx context.Context, data string) (n int) {
	db, err := sqldb.Open(ctx, filepath.Join(data, "passerelle.db"))
	if err != nil {
		return 0
	}
	defer db.Close()
	h, err := home.Open(ctx, db, filepath.Join(data, "blobs"))
	if err != nil {
		return 0
	}
	i, err := h.Instance(ctx, "alice")
	for ; err == nil && ctx.Err() == nil; n++ {
		text := fmt.Sprint("line ", n)
		_, err = i.Put(ctx, formats.Record{ID: fmt.Sprint("w", n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(fmt.Sprint("w/", n)), Modified: time.Now(),
			Blob: &formats.Blob{Size: int64(len(text))}, Body: json.RawMessage(`{}`)}, strings.NewReader(text))
		time.Sleep(5 * time.Millisecond)
	}
	return n
}

// taken is what a process has taken so far.
func taken(b *testing.B, r *running) cost {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		b.Skip("what a process takes is read from /proc")
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	var ticks int64
	for _, at := range []int{11, 12} { // utime, stime
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	c := cost{cpu: time.Duration(ticks) * (time.Second / 100)}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &c.peak); err == nil {
			c.peak <<= 10
		}
	}
	return c
}
