//go:build linux

package ledger_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

const benchLeaves = 1_000_000

// BenchmarkVerify verifies a log of 1,000,000 leaves in a folder, in a process of its own. It reports the processor's
// time, also in times of what it takes to hash the bytes of all its files with SHA-256, and the peak of the memory.
func BenchmarkVerify(b *testing.B) {
	if where := os.Getenv("PASSERELLE_BENCH_VERIFY"); where != "" {
		benchmarked(b, where)
		return
	}
	p := publish(b, benchLeaves)
	dir := b.TempDir()
	p.write(b, dir)
	b.ResetTimer()
	var cpu, floor, memory float64
	for range b.N {
		cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkVerify$", "-test.benchtime=1x")
		cmd.Env = append(os.Environ(), "PASSERELLE_BENCH_VERIFY="+strings.Join([]string{dir, p.vkey}, "|"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		_, facts, _ := strings.Cut(string(out), "facts:")
		var c, f, m float64
		if _, err := fmt.Sscan(facts, &c, &f, &m); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		cpu, floor, memory = cpu+c, floor+f, max(memory, m)
	}
	b.ReportMetric(cpu/float64(b.N), "cpu-s")
	b.ReportMetric(cpu/floor, "cpu-to-sha256")
	b.ReportMetric(memory, "peak-MiB")
}

// benchmarked is the other process.
func benchmarked(b *testing.B, where string) {
	dir, vkey, _ := strings.Cut(where, "|")
	source, err := ledger.NewSource(dir)
	if err != nil {
		b.Fatal(err)
	}
	trust, err := ledger.NewTrust([]string{vkey}, nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	before := processorTime()
	verdict := good(b, ledger.Verification{Source: source, Trust: trust, State: b.TempDir()})
	cpu := processorTime() - before
	if verdict.Leaves != benchLeaves {
		b.Fatalf("%d leaves", verdict.Leaves)
	}
	memory := peak(b)
	fmt.Println("facts:", cpu.Seconds(), hashing(b, dir).Seconds(), memory)
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the most memory that this process had, in MiB.
func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("there is no /proc/self/status: ", err)
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(line, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// hashing is the time that it takes to hash the content of all files, without that of reading them.
func hashing(b *testing.B, dir string) (spent time.Duration) {
	all := os.DirFS(dir)
	err := fs.WalkDir(all, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(all, path)
		before := processorTime()
		sha256.Sum256(data)
		spent += processorTime() - before
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return spent
}
