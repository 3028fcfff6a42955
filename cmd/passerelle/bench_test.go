package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// The benchmarks run the program as a process, and measure the CPU time and the greatest memory that the system
// counted for it, against a floor in the same run: what tar, age and SHA-256 by Go's standard library need for the same
// bytes. They need tar, and age for the encrypted export. -short takes a tree of 2,000 files instead of 50,000. Set
// TMPDIR to a tmpfs, lest the disk be measured.

// cost is what processes took.
type cost struct {
	cpu  time.Duration
	peak int64 // bytes; of the largest
}

func (c cost) plus(d cost) cost { return cost{c.cpu + d.cpu, max(c.peak, d.peak)} }

// bench is the tree and what was made of it so far.
type bench struct {
	dir   string
	files int
}

func (b *bench) in(name string) string { return filepath.Join(b.dir, name) }

// BenchmarkMove follows a tree through the program. Ratios are CPU time against the floor; MiB is the greatest memory.
func BenchmarkMove(b *testing.B) {
	s := &bench{dir: b.TempDir(), files: 50_000}
	if testing.Short() {
		s.files = 2000
	}
	if err := example.WriteTree(s.in("tree"), example.TreeOptions{Files: s.files}); err != nil {
		b.Fatal(err)
	}
	tree := "dir:" + s.in("tree")
	pack := func(b *testing.B) cost {
		return tool(b, "tar", "cf", s.in("floor.tar"), "-C", s.dir, "tree").plus(hashed(b, s.in("floor.tar")))
	}
	read := func(b *testing.B) cost { return hashed(b, s.in("floor.tar")) }
	unpack := func(b *testing.B) cost {
		c := tool(b, "tar", "xf", s.in("floor.tar"), "-C", s.fresh(b, "untarred")).plus(read(b))
		remove(b, s.in("untarred"))
		return c
	}
	s.against(b, "export from a folder", pack, 1.3, func(b *testing.B) cost {
		return passerelle(b, s, "export", "--from", tree, "--out", filepath.Join(s.fresh(b, "out"), "a"))
	})
	s.against(b, "verify", read, 1.3, func(b *testing.B) cost {
		return passerelle(b, s, "verify", s.in("out/a.index.json"))
	})
	s.against(b, "import into home", unpack, 4, func(b *testing.B) cost {
		s.fresh(b, "gateway")
		return passerelle(b, s, "import", "--to", "home:alice", s.in("out/a.index.json"))
	})
	s.against(b, "export from home", pack, 1.6, func(b *testing.B) cost {
		return passerelle(b, s, "export", "--from", "home:alice", "--out", filepath.Join(s.fresh(b, "out2"), "a"))
	})
	remove(b, s.in("out2"))
	b.Run("delta of 10 changes", s.delta)
	s.encrypted(b, tree)
}

// rounds is how often floor and subject run, in turns. The least time of each counts: what a machine does besides only
// ever adds to it.
const rounds = 5

// against reports the CPU time of a command as a ratio to that of its floor.
func (s *bench) against(b *testing.B, name string, floor func(*testing.B) cost, limit float64, run func(*testing.B) cost) {
	b.Run(name, func(b *testing.B) {
		var least, lowest, peak float64
		for b.Loop() {
			for n := range rounds {
				f, c := floor(b), run(b)
				if n == 0 || f.cpu.Seconds() < lowest {
					lowest = f.cpu.Seconds()
				}
				if n == 0 || c.cpu.Seconds() < least {
					least = c.cpu.Seconds()
				}
				peak = max(peak, float64(c.peak)/(1<<20))
			}
		}
		b.ReportMetric(least/lowest, "ratio")
		b.ReportMetric(limit, "limit")
		b.ReportMetric(lowest, "floor-cpu-s")
		b.ReportMetric(peak, "MiB")
		b.ReportMetric(0, "ns/op")
	})
}

func (s *bench) encrypted(b *testing.B, tree string) {
	if _, err := exec.LookPath("age"); err != nil {
		b.Log("age is not installed: the encrypted export is not measured")
		return
	}
	if out, err := exec.Command("age-keygen", "-o", s.in("key")).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	public, err := exec.Command("age-keygen", "-y", s.in("key")).Output()
	if err != nil {
		b.Fatal(err)
	}
	key := strings.TrimSpace(string(public))
	pipe := fmt.Sprintf("tar cf - -C %q tree | age -r %s > %q", s.dir, key, s.in("floor.age"))
	floor := func(b *testing.B) cost { return tool(b, "sh", "-c", pipe).plus(hashed(b, s.in("floor.age"))) }
	s.against(b, "encrypted export", floor, 1.5, func(b *testing.B) cost {
		return passerelle(b, s, "export", "--from", tree, "--recipient", key, "--out", filepath.Join(s.fresh(b, "out3"), "a"))
	})
}

// delta changes ten records at the home and exports what changed.
func (s *bench) delta(b *testing.B) {
	var sealed struct {
		Claims struct {
			ExportID string `json:"export_id"`
		}
	}
	out := passerelleOut(b, s, "export", "--from", "home:alice", "--out", filepath.Join(s.fresh(b, "out2"), "a"))
	if err := json.Unmarshal(out, &sealed); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for b.Loop() {
		s.change(b)
		c := passerelle(b, s, "export", "--from", "home:alice", "--since", sealed.Claims.ExportID, "--out", filepath.Join(s.fresh(b, "out3"), "a"))
		b.ReportMetric(c.cpu.Seconds(), "cpu-s")
		b.ReportMetric(1, "limit")
		b.ReportMetric(float64(c.peak)/(1<<20), "MiB")
	}
	b.ReportMetric(0, "ns/op")
	remove(b, s.in("out2"))
}

func (s *bench) change(b *testing.B) {
	db, err := sqldb.Open(b.Context(), s.in("gateway/passerelle.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	h, err := home.Open(b.Context(), db, s.in("gateway/blobs"))
	if err != nil {
		b.Fatal(err)
	}
	i, err := h.Instance(b.Context(), "alice")
	if err != nil {
		b.Fatal(err)
	}
	for n := range 10 {
		text := time.Now().String()
		r := formats.Record{
			ID: fmt.Sprint("changed-", n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(fmt.Sprint("changed ", n)),
			Blob: &formats.Blob{Size: int64(len(text))}, Body: []byte(`{}`),
		}
		if _, err := i.Put(b.Context(), r, strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory shows how memory grows with the number of files, and that it does not with their size.
func BenchmarkMemory(b *testing.B) {
	small, more := 100_000, 200_000
	if testing.Short() {
		small, more = 2000, 4000
	}
	peaks := map[string][]int64{}
	steps := []string{"export", "verify", "import"}
	for _, files := range []int{small, more} {
		s := &bench{dir: b.TempDir(), files: files}
		if err := example.WriteTree(s.in("tree"), example.TreeOptions{Files: files, Bytes: int64(files) * 200}); err != nil {
			b.Fatal(err)
		}
		for _, c := range []cost{
			passerelle(b, s, "export", "--from", "dir:"+s.in("tree"), "--out", filepath.Join(s.fresh(b, "out"), "a")),
			passerelle(b, s, "verify", s.in("out/a.index.json")),
			passerelle(b, s, "import", "--to", "home:alice", s.in("out/a.index.json")),
		} {
			step := steps[len(peaks[""])%3]
			peaks[step], peaks[""] = append(peaks[step], c.peak), append(peaks[""], 0)
		}
		remove(b, s.dir)
	}
	for _, step := range steps {
		b.Run(step+" of more files", func(b *testing.B) {
			for b.Loop() {
			}
			b.ReportMetric(float64(peaks[step][0])/(1<<20), "MiB/"+fmt.Sprint(small))
			b.ReportMetric(float64(peaks[step][1])/(1<<20), "MiB/"+fmt.Sprint(more))
			b.ReportMetric(float64(peaks[step][1]-peaks[step][0])/(1<<20)*100_000/float64(more-small), "MiB/+100k")
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("one sparse file of 20 GB", func(b *testing.B) {
		size := int64(20e9)
		if testing.Short() {
			size = 200e6
		}
		s := &bench{dir: b.TempDir()}
		if err := os.Truncate(create(b, filepath.Join(s.fresh(b, "tree"), "big")), size); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			c := passerelle(b, s, "export", "--from", "dir:"+s.in("tree"), "--zstd", "--out", filepath.Join(s.fresh(b, "out"), "a"))
			b.ReportMetric(float64(c.peak)/(1<<20), "MiB")
		}
		b.ReportMetric(0, "ns/op")
	})
}

func create(b *testing.B, name string) string {
	b.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// fresh makes an empty folder.
func (s *bench) fresh(b *testing.B, name string) string {
	b.Helper()
	remove(b, s.in(name))
	if err := os.Mkdir(s.in(name), 0o700); err != nil {
		b.Fatal(err)
	}
	return s.in(name)
}

func remove(b *testing.B, name string) {
	b.Helper()
	if err := os.RemoveAll(name); err != nil && !os.IsNotExist(err) {
		b.Fatal(err)
	}
}

// passerelle runs the program, which the test binary also is.
func passerelle(b *testing.B, s *bench, args ...string) cost {
	b.Helper()
	return measured(b, command(b, s, args))
}

func passerelleOut(b *testing.B, s *bench, args ...string) []byte {
	b.Helper()
	cmd := command(b, s, args)
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %v", args, err)
	}
	return out
}

func command(b *testing.B, s *bench, args []string) *exec.Cmd {
	path, err := exec.LookPath("passerelle") // TestMain put it there
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), path, append([]string{"--json", "--data", s.in("gateway")}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

func tool(b *testing.B, name string, args ...string) cost {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), name, args...)
	cmd.Stderr = os.Stderr
	return measured(b, cmd)
}

func measured(b *testing.B, cmd *exec.Cmd) cost {
	b.Helper()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v: %v", cmd.Args, err)
	}
	state := cmd.ProcessState
	c := cost{cpu: state.UserTime() + state.SystemTime()}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss << 10
	}
	return c
}

// hashed reads a file and hashes it, in this process.
func hashed(b *testing.B, name string) cost {
	b.Helper()
	before := used(b)
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyBuffer(sha256.New(), struct{ io.Reader }{f}, make([]byte, 128<<10)); err != nil {
		b.Fatal(err)
	}
	return cost{cpu: used(b) - before}
}

func used(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
