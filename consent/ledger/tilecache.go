package ledger

import (
	"context"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// tileCache remembers the tiles that many proofs of one checkpoint have in common.
type tileCache struct {
	ctx  context.Context
	log  *Log
	kept map[tlog.Tile][]byte
}

const maxTilesKept = 1024 // 8 MiB

func newTileCache(ctx context.Context, log *Log) *tileCache {
	return &tileCache{ctx: ctx, log: log, kept: map[tlog.Tile][]byte{}}
}

// Height implements [tlog.TileReader].
func (c *tileCache) Height() int { return torchwood.TileHeight }

// ReadTiles implements [tlog.TileReader].
func (c *tileCache) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		if out[i] = c.kept[t]; out[i] != nil {
			continue
		}
		data, err := c.log.Tile(c.ctx, t)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// SaveTiles implements [tlog.TileReader]: it gets what was found to be right.
func (c *tileCache) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	if len(c.kept)+len(tiles) > maxTilesKept {
		clear(c.kept)
	}
	for i, t := range tiles {
		c.kept[t] = data[i]
	}
}
