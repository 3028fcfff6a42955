package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// NewSource returns what a [Verification] reads from: the log at a URL, or in a folder. Unlike the readers of torchwood
// it never takes more than what the largest tile has, whatever there is, and an unreachable server is an error within
// seconds. Errors wrap fs.ErrNotExist where the log has no such file.
func NewSource(where string) (torchwood.TileReader, error) {
	if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = inFlight
		h := &httpFiles{base: strings.TrimSuffix(where, "/") + "/", client: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
		return &source{read: h.read}, nil
	}
	info, err := os.Stat(where)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open a log: %s is not a folder", where)
	}
	return &source{read: folder(where).read}, nil
}

// source makes a [torchwood.TileReader] of what reads files.
type source struct {
	read func(ctx context.Context, path string, most int64) ([]byte, error)
}

// ReadEndpoint implements [torchwood.TileReader].
func (s *source) ReadEndpoint(ctx context.Context, path string) ([]byte, error) {
	return s.read(ctx, path, maxNote)
}

// ReadTiles implements [torchwood.TileReader].
func (s *source) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		most := int64(tileWidth * len(Hash{}))
		if t.L < 0 {
			most = maxBundle
		}
		data, err := s.read(ctx, torchwood.TilePath(t), most)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// SaveTiles implements [torchwood.TileReader]: there is nothing to save.
func (s *source) SaveTiles([]tlog.Tile, [][]byte) {}

// capped reads a file that is said to have so many bytes, or as much of it as shows that it is too large.
func capped(r io.Reader, size, most int64) ([]byte, error) {
	buffer := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), most, 1<<20)+bytes.MinRead))
	_, err := buffer.ReadFrom(io.LimitReader(r, most+1))
	return buffer.Bytes(), err
}

// folder reads files in a folder, and none outside it.
type folder string

func (f folder) read(_ context.Context, path string, most int64) ([]byte, error) {
	file, err := os.OpenInRoot(string(f), filepath.FromSlash(path))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return capped(file, info.Size(), most)
}

// httpFiles reads files from a server.
type httpFiles struct {
	base   string
	client *http.Client
}

// errAgain is the parent of what may be otherwise a little later.
var errAgain = errors.New("the server does not answer as it should")

// read tries a few times.
func (h *httpFiles) read(ctx context.Context, path string, most int64) ([]byte, error) {
	for pause := 200 * time.Millisecond; ; pause *= 4 {
		data, wait, err := h.try(ctx, path, most)
		if !errors.Is(err, errAgain) || pause > 4*time.Second || ctx.Err() != nil {
			return data, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(max(pause, wait)):
		}
	}
}

// try asks once. wait is how long the server wants not to be asked again.
func (h *httpFiles) try(ctx context.Context, path string, most int64) (data []byte, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errAgain, err)
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		if data, err = capped(resp.Body, resp.ContentLength, most); err != nil {
			err = fmt.Errorf("%w: %s: %w", errAgain, path, err)
		}
		return data, 0, err
	case code == http.StatusNotFound || code == http.StatusGone:
		return nil, 0, fmt.Errorf("%s: %s: %w", path, resp.Status, fs.ErrNotExist)
	case code == http.StatusTooManyRequests || code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0, unless it is a number
		return nil, time.Duration(min(max(seconds, 0), 60)) * time.Second, fmt.Errorf("%w: %s: %s", errAgain, path, resp.Status)
	}
	return nil, 0, fmt.Errorf("%s: %s", path, resp.Status)
}
