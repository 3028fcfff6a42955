package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/api"
	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/internal/problem"
)

// adminSocket is where a gateway that runs lets those administer it who may open its folder. On SQLite nobody else can
// write the log meanwhile.
const adminSocket = "admin.sock"

// adminRoutes are the interface of administrators: on the socket for everybody who may open it, elsewhere for those with
// a token.
func (s *server) adminRoutes(mux *http.ServeMux, allowed func(http.ResponseWriter, *http.Request) bool) {
	a := &api.Admin{Authority: s.authority, Allowed: allowed, Invite: s.invite, Log: s.log}
	mux.HandleFunc("GET /admin/services", a.Only(a.GetServices))
	mux.HandleFunc("GET /admin/services/{id}", a.Only(a.GetService))
	mux.HandleFunc("PUT /admin/services/{id}", a.Only(a.PutService))
	mux.HandleFunc("PUT /admin/services/{id}/suspension", a.Only(a.PutSuspension))
	mux.HandleFunc("DELETE /admin/services/{id}/suspension", a.Only(a.DeleteSuspension))
	mux.HandleFunc("PUT /admin/services/{id}/frequency", a.Only(a.PutFrequency))
	mux.HandleFunc("DELETE /admin/services/{id}/frequency", a.Only(a.DeleteFrequency))
	mux.HandleFunc("DELETE /admin/persons/{name}/consents", a.Only(s.endingBanks(a.EndConsents)))
	mux.HandleFunc("DELETE /admin/persons/{name}", a.Only(s.endingBanks(a.Erase)))
	mux.HandleFunc("POST /admin/invitations", a.Only(a.PostInvitation))

	if s.receiver != nil { // a gateway that was opened to administer alone takes nobody in
		m := s.arrivals(allowed)
		mux.HandleFunc("POST /admin/moves", m.Only(m.Post))
		mux.HandleFunc("GET /admin/moves", m.Only(m.List))
		mux.HandleFunc("PUT /admin/moves/{id}/pause", m.Only(m.Change(m.Receiver.Pause)))
		mux.HandleFunc("DELETE /admin/moves/{id}/pause", m.Only(m.Change(m.Receiver.Resume)))
		mux.HandleFunc("DELETE /admin/moves/{id}", m.Only(m.Change(m.Receiver.Stop)))
	}

	o := s.auditAPI(allowed)
	mux.HandleFunc("GET /admin/auditors", o.Only(o.GetAuditors))
	mux.HandleFunc("POST /admin/auditors", o.Only(o.PostAuditor))
	mux.HandleFunc("DELETE /admin/auditors/{id}", o.Only(o.DeleteAuditor))
	mux.HandleFunc("POST /admin/evidence", o.Only(o.PostEvidence))
	mux.HandleFunc("POST /admin/findings", o.Only(o.PostFindings))
	mux.HandleFunc("GET /admin/processing", o.Only(o.GetProcessing))
	mux.HandleFunc("GET /admin/matters", o.Only(o.GetMatters))
	mux.HandleFunc("POST /admin/matters", o.Only(o.PostMatter))
	mux.HandleFunc("PUT /admin/matters/{id}/prolongation", o.Only(o.PutProlongation))
	mux.HandleFunc("PUT /admin/matters/{id}/outcome", o.Only(o.PutOutcome))
}

func (s *server) invite(ctx context.Context, note string, services int, until time.Time) (string, error) {
	return oauth.Invite(ctx, s.db, note, services, until)
}

func everybody(http.ResponseWriter, *http.Request) bool { return true }

// localAdmin is the interface as it is on the socket.
func (s *server) localAdmin() http.Handler {
	mux := http.NewServeMux()
	s.adminRoutes(mux, everybody)
	return mux
}

// socketPath is a path to a socket in a folder that is short enough for the kernel (108 bytes), and how to let go of it.
func socketPath(dir string) (string, func(), error) {
	path := filepath.Join(dir, adminSocket)
	if len(path) < 100 {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), adminSocket), func() { f.Close() }, nil
}

// serveAdmin begins to serve the socket, until the context ends. Where another gateway does that already for the same
// folder, this one does not. The channel is closed when nobody is served any more.
func (s *server) serveAdmin(ctx context.Context, dir string) (<-chan struct{}, error) {
	ended := make(chan struct{})
	if adminRuns(ctx, dir) {
		close(ended)
		return ended, nil
	}
	path, free, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer free()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of a gateway that died: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for administrators: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	srv := &http.Server{Handler: s.localAdmin(), ReadHeaderTimeout: headerTimeout}
	context.AfterFunc(ctx, func() { srv.Close() })
	go func() {
		defer close(ended)
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("administrators are not served any more", "error", err)
		}
		listener.Close() // it is gone when this is over, also for whoever asks next; closed twice is no harm
	}()
	return ended, nil
}

// adminRuns reports whether a gateway serves the socket of a folder.
func adminRuns(ctx context.Context, dir string) bool {
	conn, err := dialAdmin(ctx, dir)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func dialAdmin(ctx context.Context, dir string) (net.Conn, error) {
	path, free, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer free()
	return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
}

// administer does one thing with the interface of administrators: that of the gateway that runs, or of one that is
// opened for it.
func (p *program) administer(ctx context.Context, method, path string, body []byte, answer any) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	if !adminRuns(ctx, g.dir) {
		serving, stop := context.WithCancel(ctx)
		defer stop()
		s, err := g.openAuthority(ctx)
		if err != nil {
			return err
		}
		defer s.ledger.Close()
		s.log = slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn})) // nobody else would say why
		ended, err := s.serveAdmin(serving, g.dir)
		if err != nil {
			return err
		}
		defer func() { stop(); <-ended }() // before the log is closed, and before somebody asks again
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAdmin(ctx, g.dir) }}}
	return ask(ctx, client, method, path, body, answer)
}

// ask sends a request, and reads the answer or the problem.
func ask(ctx context.Context, client *http.Client, method, path string, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the gateway that runs: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		var fault struct{ Type, Title, Detail string }
		if json.Unmarshal(text, &fault) != nil || !strings.HasPrefix(fault.Type, problem.Prefix) {
			return fmt.Errorf("the gateway answers %s", response.Status)
		}
		return errors.New(fault.Detail)
	}
	if raw, ok := answer.(*[]byte); ok {
		*raw = text
		return nil
	}
	return json.Unmarshal(text, answer)
}
