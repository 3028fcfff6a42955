package transfer

import (
	"context"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
)

// ErrLacking is returned for an archive that leaves out bytes which the target does not have, where that is refused.
var ErrLacking = fmt.Errorf("%w: it leaves out bytes that are not here", ErrRefused)

// lacking are blobs of which the archive left out the bytes, since its recipient had them, and that the target does not have.
type lacking struct {
	blobs     map[formats.Hash]bool
	recipient string
}

// askedAtOnce is of how many blobs a target is asked at once whether it has them.
const askedAtOnce = 5000

// lacking asks the target for the blobs that were left out.
func (i Import) lacking(ctx context.Context, verified *archive.Verified, load operators.Load) (lacking, error) {
	l := lacking{blobs: map[formats.Hash]bool{}}
	if c := verified.Report.Claims; c.LeftOut != nil {
		l.recipient = c.Recipient.ID
	}
	var some []formats.Blob
	ask := func() error {
		held, err := holds(ctx, load, some)
		if err != nil {
			return err
		}
		for _, b := range some {
			if len(held) > 0 && held[0] == b.SHA256 {
				held = held[1:]
				continue
			}
			if i.Whole {
				return fmt.Errorf("%w (%s is one of them)", ErrLacking, b.SHA256)
			}
			l.blobs[b.SHA256] = true
		}
		some = some[:0]
		return nil
	}
	for blob, err := range verified.LeftOut() {
		if err != nil {
			return l, err
		}
		if len(some) > 0 && some[len(some)-1].SHA256 == blob.SHA256 {
			continue // with another size, too: one of them is wrong, of which whoever has the bytes will tell
		}
		if some = append(some, blob); len(some) == askedAtOnce {
			if err := ask(); err != nil {
				return l, err
			}
		}
	}
	return l, ask()
}

// holds returns which of some blobs the target has.
func holds(ctx context.Context, load operators.Load, blobs []formats.Blob) (held []formats.Hash, err error) {
	if holding, can := load.(operators.Holding); can {
		return holding.Holds(ctx, blobs)
	}
	for _, b := range blobs {
		has, err := load.Has(ctx, b)
		if err != nil {
			return nil, err
		}
		if has {
			held = append(held, b.SHA256)
		}
	}
	return held, nil
}

// put stores a record whose bytes came, or are here; the target is not asked to hold one without them.
func (l lacking) put(ctx context.Context, load operators.Load, r formats.Record) (operators.Outcome, error) {
	if r.Blob == nil || !l.blobs[r.Blob.SHA256] {
		return load.PutRecord(ctx, r)
	}
	return operators.Outcome{Result: operators.Refused, Record: r, Omission: &operators.Omission{
		Dataset: r.Dataset, ID: r.ID, Path: r.Path, Code: "content-missing", Lost: true,
		Reason: "its bytes are not in the archive: " + l.recipient + ", for which it was made, had them already",
		Advice: "Have the source make an archive of your own: nothing is left out of that.",
	}}, nil
}
