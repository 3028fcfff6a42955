package main

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/dav"
	"github.com/passerelle-cloud/passerelle/operators/peer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
)

// routes lists everything that a gateway serves. openapi.yaml says the same.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	s.mux = mux
	mux.Handle("GET /log/", http.StripPrefix("/log", s.ledger.Handler(s.log)))
	mux.Handle("POST /witness/add-checkpoint", http.StripPrefix("/witness", s.witness.Handler()))
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /.well-known/passerelle-operator", peer.Publish(s.statement, s.log))
	mux.HandleFunc("GET /.well-known/passerelle-formats", s.transfer.FormatsJSON)

	// Services ask, and get tokens.
	for _, path := range []string{oauth.PathServer, oauth.PathOpenID} {
		mux.HandleFunc("GET "+path, s.oauth.Metadata)
	}
	mux.HandleFunc("GET "+oauth.PathResource, s.oauth.ResourceMetadata)
	mux.HandleFunc("GET "+oauth.PathKeys, s.oauth.PublicKeys)
	mux.HandleFunc("POST "+oauth.PathPushed, s.oauth.Pushed)
	mux.HandleFunc("GET "+oauth.PathAuthorize, s.oauth.Authorize)
	mux.HandleFunc("POST "+oauth.PathToken, s.oauth.Token)
	mux.HandleFunc("POST "+oauth.PathIntrospect, s.oauth.Introspect)
	mux.HandleFunc("POST "+oauth.PathRevoke, s.oauth.Revoke)
	mux.HandleFunc("POST "+oauth.PathRegister, s.oauth.Register)
	mux.HandleFunc("GET "+oauth.PathGrants+"/{id}", s.oauth.Grant)
	mux.HandleFunc("DELETE "+oauth.PathGrants+"/{id}", s.oauth.EndGrant)

	s.pageRoutes(mux)

	// Services read what they were granted.
	mux.HandleFunc("GET /data/changes", s.data.Changes)
	mux.HandleFunc("GET /data/answers/{question}", s.data.Answer)
	mux.HandleFunc("GET /data/{dataset}", s.data.Dataset)
	mux.HandleFunc("GET /data/{dataset}/{id}", s.data.Record)
	mux.HandleFunc("GET /data/{dataset}/{id}/content", s.data.Content)

	// Operators carry whom a person authorised them to.
	moves := api.Moves{API: s.data, Sender: s.sender}
	mux.HandleFunc("POST /moves", moves.Begin)
	mux.HandleFunc("GET /moves/{id}", moves.Standing)
	mux.HandleFunc("GET /moves/{id}/blobs", moves.Blobs)
	mux.HandleFunc("POST /moves/{id}/blobs", moves.Parcel)
	mux.HandleFunc("PUT /moves/{id}/blobs", moves.Spare)
	mux.HandleFunc("PUT /moves/{id}/archives/{n}", moves.Archive)
	mux.HandleFunc("GET /moves/{id}/archives/{n}/{file}", moves.File)
	mux.HandleFunc("PUT /moves/{id}/fence", moves.Fence)
	mux.HandleFunc("GET /moves/{id}/consents", moves.Follows)
	mux.HandleFunc("PUT /moves/{id}/acceptance", moves.Accept)
	mux.HandleFunc("PUT /moves/{id}/abort", moves.Abort)
	mux.HandleFunc("GET /moves/{id}/receipt", moves.Receipt)
	mux.HandleFunc("GET /moves/{id}/certificate", moves.Certificate)
	// Persons work with the programs that they have.
	s.davRoutes(mux)

	// Regulators check: on pages, and by programs.
	d := s.deskWeb
	mux.HandleFunc("GET /desk", d.For(d.Home))
	mux.HandleFunc("GET /desk/sign-in", d.SignIn)
	mux.HandleFunc("POST /desk/sign-in", d.DoSignIn)
	mux.HandleFunc("POST /desk/sign-out", d.DoSignOut)
	mux.HandleFunc("GET /desk/articles", d.For(d.Articles))
	mux.HandleFunc("GET /desk/rules/{pack}", d.For(d.Rules))
	mux.HandleFunc("GET /desk/questions", d.For(d.Questions))
	mux.HandleFunc("POST /desk/questions", d.For(d.Ask))
	mux.HandleFunc("POST /desk/evidence", d.For(d.Evidence))
	mux.HandleFunc("POST /desk/persons", d.For(d.Find))
	mux.HandleFunc("POST /desk/identities", d.For(d.Identify))
	mux.HandleFunc("GET /desk/consents/{id}", d.For(d.Consent))
	mux.HandleFunc("GET /desk/transfers", d.For(d.Transfers))
	mux.HandleFunc("GET /desk/withdrawals", d.For(d.Withdrawals))
	mux.HandleFunc("GET /desk/numbers", d.For(d.Numbers))
	mux.HandleFunc("GET /desk/registers", d.For(d.Registers))
	mux.HandleFunc("GET /desk/conduct", d.For(d.Conduct))
	a := s.auditAPI(s.administrator)
	mux.HandleFunc("GET /audit/articles", a.Auditor(a.Articles))
	mux.HandleFunc("GET /audit/consents/{id}", a.Auditor(a.Consent))
	mux.HandleFunc("GET /audit/transfers/{id}", a.Auditor(a.Transfer))
	mux.HandleFunc("POST /audit/questions", a.Auditor(a.Question))
	mux.HandleFunc("GET /audit/withdrawals", a.Auditor(a.Withdrawals))
	mux.HandleFunc("GET /audit/aggregates", a.Auditor(a.Aggregates))
	mux.HandleFunc("GET /audit/registers", a.Auditor(a.Registers))
	mux.HandleFunc("GET /audit/conduct", a.Auditor(a.Conduct))
	mux.HandleFunc("POST /audit/persons", a.Auditor(a.Find))
	mux.HandleFunc("POST /audit/identities", a.Auditor(a.Identify))

	s.adminRoutes(mux, s.administrator)
	return s.observed(mux)
}

// pageRoutes lists the pages: persons sign in, decide, see, and change their minds.
func (s *server) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { s.web.Redirect(w, r, "/consents") })
	mux.HandleFunc("GET /assets/", webui.Assets(s.web.UI, s.account.UI, s.transfer.UI, s.deskWeb.UI))
	mux.HandleFunc("GET /legal/{slug}", s.web.Legal)
	mux.HandleFunc("GET /formats", s.transfer.Formats)
	mux.HandleFunc("GET /formats/schemas/{name}", s.transfer.Schema)

	mux.HandleFunc("GET /sign-in", s.account.SignIn)
	mux.HandleFunc("POST /sign-in", s.account.DoSignIn)
	mux.HandleFunc("GET /sign-in/provider", s.account.Provider)
	mux.HandleFunc("GET /sign-in/provider/callback", s.account.ProviderCallback)
	mux.HandleFunc("POST /sign-out", s.account.DoSignOut)
	mux.HandleFunc("GET /register", s.account.Register)
	mux.HandleFunc("POST /register", s.account.DoRegister)
	mux.HandleFunc("GET /recover", s.account.Recover)
	mux.HandleFunc("POST /recover", s.account.DoRecover)
	mux.HandleFunc("GET /download", s.transfer.Downloads)
	mux.HandleFunc("POST /download", s.transfer.Ask)
	mux.HandleFunc("GET /download/{id}/file", s.transfer.File)
	mux.HandleFunc("POST /download/{id}/remove", s.transfer.Remove)
	mux.HandleFunc("GET /bank", s.transfer.Bank)
	banked := s.transfer.Banked
	mux.HandleFunc("GET /bank/connect", banked(s.transfer.Choose))
	mux.HandleFunc("POST /bank/connect", banked(s.transfer.Connect))
	mux.HandleFunc("GET /bank/back", banked(s.transfer.Back))
	mux.HandleFunc("GET /bank/connections/{id}", banked(s.transfer.Connection))
	mux.HandleFunc("GET /bank/connections/{id}/events", banked(s.transfer.ConnectionEvents))
	mux.HandleFunc("POST /bank/connections/{id}/accounts", banked(s.transfer.Accounts))
	mux.HandleFunc("POST /bank/connections/{id}/refresh", banked(s.transfer.Refresh))
	mux.HandleFunc("POST /bank/connections/{id}/again", banked(s.transfer.Again))
	mux.HandleFunc("POST /bank/connections/{id}/method", banked(s.transfer.Method))
	mux.HandleFunc("POST /bank/connections/{id}/disconnect", banked(s.transfer.Disconnect))
	mux.HandleFunc("GET /bills", s.transfer.Bills)
	mux.HandleFunc("POST /bills/look", s.transfer.Look)
	mux.HandleFunc("POST /bills/alerts/{id}/dismiss", s.transfer.DismissAlert)
	mux.HandleFunc("GET /bills/{dataset}/{id}", s.transfer.Bill)
	mux.HandleFunc("POST /bills/{dataset}/{id}/links", s.transfer.CorrectLink)
	mux.HandleFunc("GET /move", s.transfer.Moves)
	mux.HandleFunc("POST /move", s.transfer.Bring)
	mux.HandleFunc("GET /move/callback", s.transfer.Callback)
	mux.HandleFunc("GET /move/{id}", s.transfer.Move)
	mux.HandleFunc("GET /move/{id}/events", s.transfer.Events)
	mux.HandleFunc("GET /move/{id}/receipt", s.transfer.Kept)
	mux.HandleFunc("POST /move/{id}/pause", s.transfer.Pause)
	mux.HandleFunc("POST /move/{id}/resume", s.transfer.Resume)
	mux.HandleFunc("POST /move/{id}/stop", s.transfer.Stop)
	mux.HandleFunc("GET /move/{id}/gone", s.transfer.Gone)
	mux.HandleFunc("POST /move/{id}/gone", s.transfer.Declare)
	mux.HandleFunc("POST /move/leaving/{id}/stop", s.transfer.Stay)
	mux.HandleFunc("GET /bring", s.transfer.Brought)
	mux.HandleFunc("POST /bring", s.transfer.BringWhole)
	mux.HandleFunc("POST /bring/files", s.transfer.BringBegin)
	mux.HandleFunc("GET /bring/events", s.transfer.BringEvents)
	mux.HandleFunc("PUT /bring/{id}/files/{name}", s.transfer.BringPart)
	mux.HandleFunc("POST /bring/{id}/check", s.transfer.BringCheck)
	mux.HandleFunc("POST /bring/{id}/load", s.transfer.BringLoad)
	mux.HandleFunc("POST /bring/{id}/remove", s.transfer.BringRemove)
	mux.HandleFunc("GET /account", s.account.Account)
	mux.HandleFunc("POST /account/passkeys", s.account.AddPasskey)
	mux.HandleFunc("POST /account/passkeys/{id}/remove", s.account.RemovePasskey)
	mux.HandleFunc("POST /account/password", s.account.Password)
	mux.HandleFunc("POST /account/recovery-codes", s.account.Codes)
	mux.HandleFunc("POST /account/recovery-key", s.account.Key)
	mux.HandleFunc("POST /account/app-passwords", s.account.AddApp)
	mux.HandleFunc("POST /account/app-passwords/{id}/revoke", s.account.RevokeApp)
	mux.HandleFunc("POST /account/sessions/end", s.account.EndSession)
	mux.HandleFunc("GET /account/provider", s.account.LinkProvider)
	mux.HandleFunc("POST /account/provider/remove", s.account.UnlinkProvider)

	mux.HandleFunc("GET /consent/requests/{id}", s.web.Prompt)
	mux.HandleFunc("POST /consent/requests/{id}", s.web.Decide)
	mux.HandleFunc("GET /consents", s.web.Consents)
	mux.HandleFunc("POST /news/seen", s.web.Seen)
	mux.HandleFunc("GET /overview", s.web.Overview)
	mux.HandleFunc("POST /conversions", s.web.Conversions)
	mux.HandleFunc("GET /consents/{id}", s.web.Consent)
	mux.HandleFunc("GET /consents/{id}/receipt", s.web.Receipt)
	mux.HandleFunc("GET /consents/{id}/print", s.web.Print)
	mux.HandleFunc("GET /consents/{id}/revisions/{revision}", s.web.Notice)
	mux.HandleFunc("POST /consents/{id}/withdraw", s.web.Withdraw)
	mux.HandleFunc("POST /consents/{id}/pause", s.web.Pause)
	mux.HandleFunc("POST /consents/{id}/resume", s.web.Resume)
	mux.HandleFunc("GET /consents/{id}/change", s.web.Change)
	mux.HandleFunc("POST /consents/{id}/change", s.web.DoChange)
	mux.HandleFunc("GET /consents/{id}/again", s.web.Again)
	mux.HandleFunc("POST /consents/{id}/again", s.web.DoAgain)
}

// davRoutes lists what programs for WebDAV, CardDAV and CalDAV ask. Their own methods (PROPFIND, MKCOL, LOCK, …), which
// openapi.yaml cannot name, go where the rest goes.
func (s *server) davRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/carddav", dav.WellKnown)
	mux.HandleFunc("GET /.well-known/caldav", dav.WellKnown)
	mux.HandleFunc("/.well-known/carddav", dav.WellKnown)
	mux.HandleFunc("/.well-known/caldav", dav.WellKnown)
	mux.Handle("GET /dav/files/{path...}", s.dav)
	mux.Handle("PUT /dav/files/{path...}", s.dav)
	mux.Handle("DELETE /dav/files/{path...}", s.dav)
	mux.Handle("GET /dav/trash/{path...}", s.dav)
	mux.Handle("DELETE /dav/trash/{path...}", s.dav)
	mux.Handle("GET /dav/contacts/default/{name}", s.dav)
	mux.Handle("PUT /dav/contacts/default/{name}", s.dav)
	mux.Handle("DELETE /dav/contacts/default/{name}", s.dav)
	mux.Handle("GET /dav/calendars/default/{name}", s.dav)
	mux.Handle("PUT /dav/calendars/default/{name}", s.dav)
	mux.Handle("DELETE /dav/calendars/default/{name}", s.dav)
	mux.Handle("/dav/", s.dav)
}

// ready says whether this replica can log, without which it must not do anything.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.ledger.Ready(r.Context()); err != nil {
		s.log.Warn("not ready", "error", err)
		plain(w, http.StatusServiceUnavailable, "the log cannot be written now")
		return
	}
	plain(w, http.StatusOK, "ready")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n")) // if the reader is gone there is nobody to tell
}

// observed counts and logs requests: their routes, never their addresses or contents.
func (s *server) observed(mux *http.ServeMux) http.Handler {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "passerelle_http_request_seconds", Help: "How long requests take, by route, method and status.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"route", "method", "status"})
	s.metrics.MustRegister(took)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		seen := &seenWriter{ResponseWriter: w, status: http.StatusOK}
		mux.ServeHTTP(seen, r)
		route := r.Pattern
		if route == "" {
			route = "none"
		}
		elapsed := time.Since(begin)
		took.WithLabelValues(route, method(r.Method), strconv.Itoa(seen.status)).Observe(elapsed.Seconds())
		if seen.status >= http.StatusInternalServerError {
			s.log.Warn("request failed", "route", route, "status", seen.status, "seconds", elapsed.Seconds())
		}
	})
}

// method keeps those that somebody invents out of the metrics.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

// seenWriter remembers the status.
type seenWriter struct {
	http.ResponseWriter
	status int
}

func (w *seenWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *seenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
