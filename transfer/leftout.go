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

// lacking asks the target for each blob that was left out.
func (i Import) lacking(ctx context.Context, verified *archive.Verified, load operators.Load) (lacking, error) {
	l := lacking{blobs: map[formats.Hash]bool{}}
	for blob, err := range verified.LeftOut() {
		if err != nil {
			return l, err
		}
		has, err := load.Has(ctx, blob)
		switch {
		case err != nil:
			return l, err
		case !has && i.Whole:
			return l, fmt.Errorf("%w (%s is one of them)", ErrLacking, blob.SHA256)
		case !has:
			l.blobs[blob.SHA256] = true
		}
	}
	if c := verified.Report.Claims; c.LeftOut != nil {
		l.recipient = c.Recipient.ID
	}
	return l, nil
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
