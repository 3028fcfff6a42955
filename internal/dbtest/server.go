package dbtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a PostgreSQL of its own that may be killed.
type Server struct {
	bin, dir string
}

// NewServer starts one, or skips the test.
func NewServer(t *testing.T) *Server {
	t.Helper()
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if found, err := exec.LookPath("initdb"); err == nil {
		all = append(all, found)
	}
	if len(all) == 0 {
		t.Skip("initdb is not installed: no PostgreSQL is killed")
	}
	dir, err := os.MkdirTemp("", "passerelle-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{bin: filepath.Dir(all[len(all)-1]), dir: dir}
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", "postgres", dir).CombinedOutput(); err != nil {
			t.Skipf("there is no user postgres: %v: %s", err, out)
		}
	}
	s.run(t, "initdb", "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
	t.Cleanup(func() { s.command("pg_ctl", "-D", dir+"/data", "-m", "immediate", "stop").Run() })
	s.Start(t)
	return s
}

// command runs a program of PostgreSQL, which refuses to run as root.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	words := append([]string{filepath.Join(s.bin, name)}, args...)
	if os.Geteuid() == 0 {
		words = append([]string{"runuser", "-u", "postgres", "--"}, words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = s.dir
	return cmd
}

func (s *Server) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// Start starts the server again. It refuses as long as a process of the one that was killed is there.
func (s *Server) Start(t *testing.T) {
	t.Helper()
	var out []byte
	var err error
	for range 200 {
		out, err = s.command("pg_ctl", "-D", s.dir+"/data", "-w", "-s", "-l", s.dir+"/log", "-o",
			"-c listen_addresses='' -c unix_socket_directories='"+s.dir+"'", "start").CombinedOutput()
		if err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("start PostgreSQL: %v: %s", err, out)
}

// Kill kills the server; its other processes notice.
func (s *Server) Kill(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(s.dir + "/data/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// URL is where it is.
func (s *Server) URL() string {
	return "postgres://postgres@/postgres?host=" + s.dir + "&sslmode=disable"
}
