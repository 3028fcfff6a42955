package ledger

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"filippo.io/torchwood"
)

// Handler serves the log as C2SP tlog-tiles wants it, read-only: checkpoint, tile/L/N[.p/W] and tile/entries/N[.p/W],
// below the path under which it is mounted (use [http.StripPrefix]).
func (g *Log) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", func(w http.ResponseWriter, r *http.Request) {
		c, err := g.Published(r.Context())
		if err != nil {
			fail(w, r, log, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=1")
		send(w, c.Note)
	})
	mux.HandleFunc("GET /tile/", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		tile, err := torchwood.ParseTilePath(name)
		if err != nil || torchwood.TilePath(tile) != name {
			http.Error(w, "there is no such tile", http.StatusNotFound)
			return
		}
		data, err := g.Tile(r.Context(), tile)
		if err != nil {
			fail(w, r, log, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		send(w, data)
	})
	return mux
}

func send(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Access-Control-Allow-Origin", "*") // public, and a page may check it
	w.Write(data)                                      // if the reader is gone there is nobody to tell
}

func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	w.Header().Set("Cache-Control", "no-store") // the log may have grown by the next time
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "the log has no such tile yet", http.StatusNotFound)
		return
	}
	if r.Context().Err() == nil {
		log.Error("the log cannot be read", "path", r.URL.Path, "error", err)
	}
	http.Error(w, "the log cannot be read now", http.StatusInternalServerError)
}
