package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/cozy"
	"github.com/passerelle-cloud/passerelle/operators/dir"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// look shows what the person finds at B.
func (d *demo) look(ctx context.Context) error {
	d.step("What %s finds at %s:", d.owner, d.b.signed.Statement.LegalName)
	source := d.b.instance.Source()
	defer source.Close()
	var seen sights
	for item, err := range source.Records(ctx, 0) {
		if err != nil {
			return err
		}
		if err := seen.add(item.Record); err != nil {
			return err
		}
	}
	for _, line := range seen.lines() {
		d.say("%s", line)
	}
	return nil
}

// toCozy writes what B holds as an archive that a Cozy imports, and reads it again.
func (d *demo) toCozy(ctx context.Context) error {
	d.step("Nor is %s a prison: the same leaves again as an archive that a Cozy imports.", d.b.signed.Statement.LegalName)
	parts := filepath.Join(d.dir, "cozy")
	written, err := d.copyOut(ctx, func() (operators.Target, error) { return cozy.Create(parts, cozy.Options{Name: person}) })
	if err != nil {
		return err
	}
	for _, o := range written.Refused {
		if o.Lost && o.Code != "trash" {
			return fmt.Errorf("%s %s did not fit: %s", o.Dataset, nonEmpty(o.Path, o.ID), o.Reason)
		}
	}
	d.say("Left out, as Cozy obliges: the trash (%d items).", written.Lost())
	zips, err := filepath.Glob(filepath.Join(parts, "*.zip"))
	if err != nil {
		return err
	}
	back, err := cozy.Open(zips...)
	if err != nil {
		return err
	}
	defer back.Close()
	b := d.b.instance.Source()
	defer b.Close()
	return d.same(ctx, transfer.Compare{A: b, B: back, Of: inCozy, Tmp: d.dir})
}

// toFolder writes what B holds as plain folders, and reads them again.
func (d *demo) toFolder(ctx context.Context) error {
	d.step("And as a folder, for a disk at home.")
	folder := filepath.Join(d.dir, "folder")
	if _, err := d.copyOut(ctx, func() (operators.Target, error) { return dir.Create(folder) }); err != nil {
		return err
	}
	back, err := dir.Open(folder)
	if err != nil {
		return err
	}
	defer back.Close()
	b := d.b.instance.Source()
	defer b.Close()
	return d.same(ctx, transfer.Compare{A: b, B: back, Tmp: d.dir})
}

func (d *demo) copyOut(ctx context.Context, create func() (operators.Target, error)) (*transfer.Report, error) {
	source := d.b.instance.Source()
	defer source.Close()
	target, err := create()
	if err != nil {
		return nil, err
	}
	defer target.Close()
	return transfer.Copy{Source: source, Target: target}.Run(ctx)
}

// inCozy is what a Cozy archive keeps of a record: its place, and what its body says. The trash is not in it, ids may
// be others, files get an MD5, and the editor of notes adds its schema.
func inCozy(r formats.Record) (name, says []byte, err error) {
	area, _ := formats.SplitPath(r.Path)
	if area == formats.Trash {
		return nil, nil, nil
	}
	var body any
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.UseNumber()
	if err := dec.Decode(&body); err != nil && err != io.EOF {
		return nil, nil, err
	}
	if members, ok := body.(map[string]any); ok {
		for _, added := range []string{"proseMirror", "checksums", "metadata"} {
			delete(members, added)
		}
	}
	if says, err = json.Marshal(body); err != nil {
		return nil, nil, err
	}
	if area == formats.Versions && r.Blob != nil { // a Cozy numbers versions anew
		return fmt.Appendf(nil, "%s %s %s", r.Kind, path.Dir(r.Path), r.Blob.SHA256), says, nil
	}
	if r.Path != "" {
		return []byte(string(r.Kind) + " " + r.Path), says, nil
	}
	return fmt.Appendf(nil, "%s %s %s", r.Dataset, r.Kind, formats.HashOf(says)), says, nil
}
