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
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// BenchmarkLiveMove moves a tree between two gateways, each a process, over TLS on this machine, while its owner writes. The
// floor is what tar and age need to carry the same bytes there, and SHA-256 twice, before the move and after it: the mean, since
// the machine may be faster at one time than at another. Wall and CPU time are those of both sides together, from when the person
// has said yes until they work at the new place.
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
		again, againWall := s.carried(b)
		floor.cpu, floorWall = (floor.cpu+again.cpu)/2, (floorWall+againWall)/2
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
	second              time.Duration // for what changed while everything was copied; as exactly as one looks, every 150 ms or so
	source, destination cost
	pending             int
}

func (s *bench) moves(b *testing.B, certificate, key string) moved {
	b.Helper()
	remove(b, s.in("a.index"))
	p := s.pair(b, certificate, key)
	archive := filepath.Join(s.fresh(b, "out"), "x")
	mustCall(b, "--data", b.TempDir(), "export", "--from", "dir:"+s.in("tree"), "--out", archive)
	mustCall(b, "--data", p.from, "import", "--to", "home:alice", archive+indexSuffix)
	remove(b, s.in("out"))
	return s.follow(b, p, true)
}

// pair is two gateways with TLS, of which the first has nothing yet.
func (s *bench) pair(b *testing.B, certificate, key string) *pair {
	b.Helper()
	return &pair{from: s.fresh(b, "a"), to: s.fresh(b, "b"), fromURL: "https://127.0.0.1:" + freePort(b), toURL: "https://127.0.0.1:" + freePort(b),
		flags: []string{"--tls-cert", certificate, "--tls-key", key}}
}

// follow moves alice, who writes all the time or not at all.
func (s *bench) follow(b *testing.B, p *pair, writing bool) (m moved) {
	b.Helper()
	p.acquaint(b)
	source, destination := p.serve(b, p.from), p.serve(b, p.to)
	command := p.brings(b)
	command.cmd.Process.Kill()
	command.cmd.Wait()
	for _, r := range []*running{source, destination} { // what it took to check passwords is no part of it
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.cmd.Process.Pid), []byte("5"), 0o600); err != nil {
			b.Log("the peaks of memory are those since the start:", err)
		}
	}
	before, began := taken(b, source).plus(taken(b, destination)), time.Now()
	ctx, stop := context.WithCancel(b.Context())
	written := make(chan int, 1)
	if writing {
		go func() { written <- s.writes(ctx, p.from) }()
	} else {
		written <- 0
	}
	var fenced, checked time.Time
	for {
		a := p.status(b)
		if a.Stage == move.Copied && a.Progress.Archive == 0 {
			checked = time.Now()
		}
		if a.Stage == move.CaughtUp && m.second == 0 && !checked.IsZero() {
			m.second = time.Since(checked)
		}
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

// BenchmarkMoveGrowth moves instances of more and more records, of which a tenth has a file, while nobody writes: how the cost
// grows, and what a second pass costs that finds nothing new.
func BenchmarkMoveGrowth(b *testing.B) {
	certificate, key, _ := selfSigned(b)
	b.Setenv("SSL_CERT_FILE", certificate)
	for _, records := range []int{1000, 10_000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(records), func(b *testing.B) {
			if testing.Short() && records > 10_000 {
				b.Skip("short")
			}
			s := &bench{dir: b.TempDir()}
			for b.Loop() {
				p := s.pair(b, certificate, key)
				s.fill(b, p.from, records)
				m := s.follow(b, p, false)
				b.ReportMetric(float64(m.cpu.Microseconds())/float64(records), "cpu-us/record")
				b.ReportMetric(m.wall.Seconds(), "wall-s")
				b.ReportMetric(float64(m.source.peak)/(1<<20), "MiB-source")
				b.ReportMetric(float64(m.destination.peak)/(1<<20), "MiB-destination")
				b.ReportMetric(m.second.Seconds(), "second-pass-s")
				b.ReportMetric(m.fence.Seconds(), "fence-s")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fill gives alice so many records: contacts, and small files.
func (s *bench) fill(b *testing.B, data string, records int) {
	b.Helper()
	mustCall(b, "--data", data, "person", "add", "alice")
	db, err := sqldb.Open(b.Context(), filepath.Join(data, "passerelle.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	h, err := home.Open(b.Context(), db, filepath.Join(data, "blobs"))
	if err != nil {
		b.Fatal(err)
	}
	i, err := h.Instance(b.Context(), "alice")
	if err != nil {
		b.Fatal(err)
	}
	load, err := i.Target().Load(b.Context(), operators.Origin{Series: "fill", Time: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	for n := range records {
		r := formats.Record{ID: fmt.Sprint("r", n), Dataset: formats.Contacts, Kind: formats.KindCard,
			Body: fmt.Appendf(nil, `{"@type":"Card","version":"1.0","uid":"r%d","name":{"full":"Somebody %d"},"emails":{"e":{"address":"somebody.%d@example.org"}}}`, n, n, n)}
		if n%10 == 0 {
			text := strings.Repeat(fmt.Sprint("line ", n, "\n"), 100)
			blob, err := load.PutBlob(b.Context(), strings.NewReader(text), int64(len(text)))
			if err != nil {
				b.Fatal(err)
			}
			r.Dataset, r.Kind, r.Path, r.Modified, r.Blob, r.Body = formats.Files, formats.KindFile, formats.Tree.Place(fmt.Sprint("d", n/1000, "/", n)), time.Now(), &blob, json.RawMessage(`{}`)
		}
		if out, err := load.PutRecord(b.Context(), r); err != nil || out.Result != operators.Stored {
			b.Fatalf("%+v %v", out, err)
		}
	}
	if err := load.Finish(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// writes writes as somebody does whose programs save some forty files a second, until nothing can be written any more: more than
// a thousand while a move of 2 GB goes on.
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
		time.Sleep(20 * time.Millisecond)
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
