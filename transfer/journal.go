package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
)

// Journal logs what becomes of a person's data here, before it does: data leaves, or is taken in, only after that
// succeeded. The zero value logs nothing, for data that is nobody's at this operator.
type Journal struct {
	Person string
	Log    func(ctx context.Context, events ...ledger.Event) error
}

// The types of the events of a transfer.
const (
	exportBegun    = "export.begun"
	exportFinished = "export.finished"
	exportFailed   = "export.failed"
	importBegun    = "import.begun"
	importFinished = "import.finished"
	importFailed   = "import.failed"
)

// moved is the detail of a transfer's event: what proves which archive it was.
type moved struct {
	Form     string        `json:"form,omitempty"`     // what was written, where it is no archive
	ExportID string        `json:"exportId,omitempty"` // of an archive
	Sequence int           `json:"sequence"`
	Root     *formats.Hash `json:"root,omitempty"` // SHA-256 of the archive's tagmanifest-sha256.txt
	Records  int64         `json:"records,omitempty"`
	Files    int64         `json:"files,omitempty"`
	Bytes    int64         `json:"bytes,omitempty"`
	Lost     int64         `json:"lost,omitempty"` // records that were refused
}

// note logs one event. party is the other operator, or nobody: the person.
func (j Journal) note(ctx context.Context, what string, party *archive.Party, detail moved) error {
	if j.Log == nil {
		return nil
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	e := ledger.Event{Person: j.Person, Class: ledger.Transfer, Type: what, Detail: string(text)}
	if party != nil {
		e.Service = party.ID
	}
	if err := j.Log(ctx, e); err != nil {
		return fmt.Errorf("log that an instance moves: %w", err)
	}
	return nil
}

// failed logs that something did not come to its end, and returns why.
func (j Journal) failed(ctx context.Context, what string, party *archive.Party, detail moved, why error) error {
	return errors.Join(why, j.note(context.WithoutCancel(ctx), what, party, detail))
}
