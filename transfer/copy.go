package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Copy writes what a source holds into a target, without an archive between them.
type Copy struct {
	Source  operators.Source
	Target  operators.Target
	Form    string // names the form of the target in the journal, such as "cozy"
	Series  string // under which the target knows it when it is run again, see operators.Origin; "": it is new each time
	Journal Journal
	Observe Observer
}

// Run copies. An error leaves the target as its contract says: nothing half-written is visible.
func (c Copy) Run(ctx context.Context) (*Report, error) {
	detail := moved{Form: c.Form}
	if err := c.Journal.note(ctx, exportBegun, nil, detail); err != nil {
		return nil, err
	}
	report, err := c.copy(ctx)
	if err != nil {
		return nil, c.Journal.failed(ctx, exportFailed, nil, detail, err)
	}
	for _, count := range report.Held {
		detail.Records, detail.Files, detail.Bytes = detail.Records+count.Records, detail.Files+count.Files, detail.Bytes+count.Bytes
	}
	detail.Lost = report.Lost()
	return report, c.Journal.note(ctx, exportFinished, nil, detail)
}

func (c Copy) copy(ctx context.Context) (*Report, error) {
	report := &Report{Started: time.Now().UTC()}
	description, err := c.Source.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe the source: %w", err)
	}
	load, err := c.Target.Load(ctx, operators.Origin{Series: c.Series, Operator: description.Owner, Time: report.Started})
	if err != nil {
		return nil, fmt.Errorf("open the target: %w", err)
	}
	if err := c.items(ctx, load, report, description); err != nil {
		return nil, errors.Join(fmt.Errorf("copy: %w", err), load.Abort())
	}
	if err := load.Finish(ctx); err != nil {
		return nil, fmt.Errorf("finish: %w", err)
	}
	report.settle(load)
	c.Observe.tell(Progress{Step: Checking})
	if report.Held, err = load.Held(ctx); err != nil {
		return nil, fmt.Errorf("count what the target holds: %w", err)
	}
	report.Finished = time.Now().UTC()
	return report, nil
}

func (c Copy) items(ctx context.Context, load operators.Load, report *Report, d operators.Description) error {
	progress := Progress{Step: Writing, TotalRecords: d.Total.Records, TotalBytes: d.Total.Bytes}
	for item, err := range c.Source.Records(ctx, 0) {
		if err != nil {
			return err
		}
		report.Omitted = append(report.Omitted, item.Omissions...)
		if item.Record.ID == "" {
			continue
		}
		if err := c.item(ctx, load, report, item); err != nil {
			return fmt.Errorf("%s/%s: %w", item.Record.Dataset, orID(item.Record.Path, item.Record.ID), err)
		}
		progress.Records++
		if item.Record.Blob != nil {
			progress.Bytes += item.Record.Blob.Size
		}
		c.Observe.tell(progress)
	}
	return nil
}

func (c Copy) item(ctx context.Context, load operators.Load, report *Report, item operators.Item) error {
	record := item.Record
	if record.Blob != nil && item.Content != nil {
		blob, err := copyBlob(ctx, load, *record.Blob, item)
		if err != nil {
			return err
		}
		record.Blob = &blob
	}
	outcome, err := load.PutRecord(ctx, record)
	if err != nil {
		return err
	}
	report.add(record, outcome)
	return nil
}

func copyBlob(ctx context.Context, load operators.Load, blob formats.Blob, item operators.Item) (formats.Blob, error) {
	if !blob.SHA256.IsZero() {
		if has, err := load.Has(ctx, blob); err != nil || has {
			return blob, err
		}
	}
	content, err := item.Content()
	if err != nil {
		return blob, err
	}
	defer content.Close()
	got, err := load.PutBlob(ctx, content, blob.Size)
	got.Type = blob.Type
	return got, err
}
