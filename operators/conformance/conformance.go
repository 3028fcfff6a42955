// Package conformance holds every adapter to the contracts of package operators, with the same tests for all: call
// [Source] and [Target] from the adapter's own tests.
//
// It must never know an adapter: what one can hold, it is told.
package conformance

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Expect says what is known about an instance that a source reads.
type Expect struct {
	// Counts is what each dataset holds; nil where the test does not know.
	Counts map[formats.Dataset]formats.Count
	// Omissions are the codes of the omissions of a walk, in any order, each as often as it is met.
	Omissions []string
	// Dangling allows links to records that the instance does not have.
	Dangling bool
}

// Caps says what a target can do. The zero value is a target that holds every record, though not every detail of it.
type Caps struct {
	// Holds reports whether the target can hold a record, be it under another name; nil: it holds every one. What it
	// cannot hold it must refuse with an omission.
	Holds func(formats.Record) bool
	// Exact: what is read back is, byte for byte, the line of the record that PutRecord gave as its outcome.
	// Without it only kind, path and bytes are compared, and for records without a path their number.
	Exact bool
	// Live: what is put is seen before Finish, so that Abort leaves it to the next load of the same series.
	Live bool
	// KnowsBlobs: Has finds bytes by their hash. Without it, Has may always say no.
	KnowsBlobs bool
	// Resumes: bytes that were put by a load that was given up need not be put again by the next of its series.
	Resumes bool
	// Merges: it can be loaded into where another series, or the person, has put something already.
	Merges bool
}

// Fixture is a target to test, fresh and empty.
type Fixture struct {
	Target operators.Target
	// Source reads what the target holds, as a program would that was started just now.
	Source func(t *testing.T) operators.Source
	// Edit, if not nil, changes the bytes of the file at a record's path as its person would, outside of any load.
	Edit func(t *testing.T, path string, content []byte)
}

// Instance is what a walk through a source gave, with every content read and every hash known.
type Instance struct {
	Records   []formats.Record
	Omissions []operators.Omission
}

// Read walks a source, reads every content and fails the test on whatever a source must never give.
func Read(t testing.TB, source operators.Source) Instance {
	t.Helper()
	var got Instance
	seen := map[string]bool{}
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatalf("Records: %v", err)
		}
		got.Omissions = append(got.Omissions, item.Omissions...)
		record, err := readItem(item)
		if err != nil {
			t.Errorf("%s/%s (%s): %v", item.Record.Dataset, item.Record.ID, item.Record.Path, err)
			continue
		}
		if record.ID == "" {
			continue
		}
		if seen[key(record)] {
			t.Errorf("%s was given twice", key(record))
		}
		seen[key(record)] = true
		got.Records = append(got.Records, record)
	}
	return got
}

func key(r formats.Record) string { return string(r.Dataset) + "/" + r.ID }

// readItem checks an item and returns its record with the hash of its blob filled in.
func readItem(item operators.Item) (formats.Record, error) {
	r := item.Record
	for _, o := range item.Omissions {
		if o.Code == "" || o.Reason == "" {
			return r, fmt.Errorf("an omission lacks its code or its reason: %+v", o)
		}
	}
	if r.ID == "" {
		if len(item.Omissions) == 0 {
			return r, errors.New("neither a record nor an omission")
		}
		return r, nil
	}
	if err := checkRecord(r); err != nil {
		return r, err
	}
	if !r.Deleted.IsZero() {
		return r, errors.New("a walk from the beginning gave a tombstone")
	}
	return readContent(item)
}

func checkRecord(r formats.Record) error {
	line, err := r.AppendLine(nil)
	if err != nil {
		return err
	}
	back, err := formats.ParseLine(line)
	if err != nil {
		return err
	}
	again, err := back.AppendLine(nil)
	if err != nil || string(again) != string(line) {
		return fmt.Errorf("its line changes when it is read back (%v):\n%s\n%s", err, line, again)
	}
	if r.Deleted.IsZero() {
		return checkBody(r)
	}
	return nil
}

func readContent(item operators.Item) (formats.Record, error) {
	r := item.Record
	switch {
	case r.Blob == nil && item.Content != nil:
		return r, errors.New("it has a content but no blob")
	case r.Blob == nil:
		return r, nil
	case item.Content == nil && len(item.Omissions) == 0:
		return r, errors.New("it has a blob, no content, and no omission says why")
	case item.Content == nil:
		return r, nil
	}
	content, err := item.Content()
	if err != nil {
		return r, fmt.Errorf("open its content: %w", err)
	}
	digest := sha256.New()
	n, err := io.Copy(digest, content)
	if err := errors.Join(err, content.Close()); err != nil {
		return r, fmt.Errorf("read its content: %w", err)
	}
	blob := *r.Blob
	blob.SHA256 = formats.Hash(digest.Sum(nil))
	if n != r.Blob.Size {
		return r, fmt.Errorf("its content has %d bytes, its blob says %d", n, r.Blob.Size)
	}
	if !r.Blob.SHA256.IsZero() && r.Blob.SHA256 != blob.SHA256 {
		return r, fmt.Errorf("its content has the hash %s, its blob says %s", blob.SHA256, r.Blob.SHA256)
	}
	r.Blob = &blob
	return r, nil
}

// Counts counts records as an archive's claims do.
func Counts(records []formats.Record) map[formats.Dataset]formats.Count {
	counts := map[formats.Dataset]formats.Count{}
	for _, r := range records {
		c := counts[r.Dataset]
		c.Records++
		if r.Blob != nil {
			c.Files++
			c.Bytes += r.Blob.Size
		}
		counts[r.Dataset] = c
	}
	return counts
}

// Lines returns the canonical line of every record by dataset and id.
func Lines(t *testing.T, records []formats.Record) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, r := range records {
		line, err := r.AppendLine(nil)
		if err != nil {
			t.Errorf("%s: %v", key(r), err)
		}
		lines[key(r)] = string(line)
	}
	return lines
}

// diff reports what differs between two maps of lines.
func diff(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for k, line := range want {
		switch have, ok := got[k]; {
		case !ok:
			t.Errorf("%s: %s is missing:\n%s", what, k, line)
		case have != line:
			t.Errorf("%s: %s is\n%s\nwant\n%s", what, k, have, line)
		}
	}
	for k, line := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %s is there and should not be:\n%s", what, k, line)
		}
	}
}

// at returns moments that are whole microseconds, which every store keeps.
func at(second int) time.Time {
	return time.Date(2024, 3, 9, 16, 5, 0, 123456000, time.UTC).Add(time.Duration(second) * time.Second)
}
