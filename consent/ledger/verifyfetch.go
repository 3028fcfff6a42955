package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// inFlight is how many tiles are fetched ahead of the one that is looked at.
const inFlight = 8

// fetcher fetches tiles, and keeps copies.
type fetcher struct {
	source torchwood.TileReader
	mirror string
}

// fetched is a tile as it came.
type fetched struct {
	tlog.Tile
	data    []byte
	missing bool // the log has no such file
	err     error
}

// isMissing reports whether an error says that there is no such file, in the words of torchwood's readers of folders and
// of URLs.
func isMissing(err error) bool {
	said := func(text string) bool { return strings.HasSuffix(err.Error(), text) }
	return err != nil && (errors.Is(err, fs.ErrNotExist) || said("unexpected status code 404") || said("unexpected status code 410"))
}

// get fetches one tile. A log that has grown may have the full tile only (C2SP tlog-tiles, "Partial tiles").
func (f *fetcher) get(ctx context.Context, t tlog.Tile) fetched {
	data, err := f.read(ctx, t)
	if isMissing(err) && t.W < tileWidth {
		full := t
		full.W = tileWidth
		if data, err = f.read(ctx, full); err == nil {
			data = firstOf(data, t)
		}
	}
	if isMissing(err) {
		return fetched{Tile: t, missing: true}
	}
	if err == nil {
		err = f.keep(torchwood.TilePath(t), data)
	}
	return fetched{Tile: t, data: data, err: err}
}

func (f *fetcher) read(ctx context.Context, t tlog.Tile) ([]byte, error) {
	data, err := f.source.ReadTiles(ctx, []tlog.Tile{t})
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", torchwood.TilePath(t), err)
	}
	if len(data) != 1 {
		return nil, fmt.Errorf("fetch %s: %d tiles came", torchwood.TilePath(t), len(data))
	}
	return data[0], nil
}

// firstOf cuts what belongs to a partial tile out of the full one.
func firstOf(full []byte, t tlog.Tile) []byte {
	if t.L >= 0 {
		return full[:min(len(full), t.W*len(Hash{}))]
	}
	rest := full
	for range t.W {
		_, after, err := torchwood.ReadTileEntry(rest)
		if err != nil {
			return full
		}
		rest = after
	}
	return full[:len(full)-len(rest)]
}

// keep writes a file of the mirror: whole or not at all.
func (f *fetcher) keep(name string, data []byte) error {
	if f.mirror == "" {
		return nil
	}
	path := filepath.Join(f.mirror, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep a copy of %s: %w", name, err)
	}
	return nil
}

// ahead fetches tiles in their order, some of them ahead of the one that is asked for. Every call of the function that
// it returns gives the next one. Call stop in the end.
func (f *fetcher) ahead(ctx context.Context, tiles iter.Seq[tlog.Tile]) (next func() (fetched, error), stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	queue := make(chan chan fetched, inFlight)
	go func() {
		defer close(queue)
		for t := range tiles {
			one := make(chan fetched, 1)
			select {
			case queue <- one:
				go func() { one <- f.get(ctx, t) }()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() (fetched, error) {
			one, ok := <-queue
			if !ok {
				return fetched{}, ctx.Err()
			}
			got := <-one
			return got, got.err
		}, func() {
			cancel()
			for one := range queue {
				<-one
			}
		}
}

// all fetches some tiles.
func (f *fetcher) all(ctx context.Context, tiles []tlog.Tile) ([]fetched, error) {
	next, stop := f.ahead(ctx, func(yield func(tlog.Tile) bool) {
		for _, t := range tiles {
			if !yield(t) {
				return
			}
		}
	})
	defer stop()
	out := make([]fetched, len(tiles))
	for i := range out {
		got, err := next()
		if err != nil {
			return nil, err
		}
		out[i] = got
	}
	return out, nil
}
