package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Close writes what can only be known at the end, signs, and puts the archive under its final name.
func (w *Writer) Close() (Sealed, error) {
	sealed, err := w.seal()
	if err != nil {
		return sealed, errors.Join(err, w.Abort())
	}
	return sealed, w.partial.publish(sealed.Files)
}

// Abort removes everything that was written.
func (w *Writer) Abort() error {
	if w.out != nil {
		w.out.abort()
	}
	return errors.Join(w.closeSpools(), w.partial.remove())
}

func (w *Writer) closeSpools() error {
	errs := []error{w.manifest.close(), w.states.Close()}
	for _, s := range w.spools {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

func (w *Writer) seal() (Sealed, error) {
	for _, d := range formats.Datasets() {
		if s := w.spools[d]; s != nil {
			if err := w.dataset(d, s); err != nil {
				return Sealed{}, err
			}
		}
	}
	if err := w.crate(); err != nil {
		return Sealed{}, err
	}
	if err := w.finishClaims(); err != nil {
		return Sealed{}, err
	}
	root, err := w.sign()
	if err != nil {
		return Sealed{}, err
	}
	volumes, err := w.out.finish()
	if err != nil {
		return Sealed{}, err
	}
	w.out = nil
	sealed := Sealed{Claims: w.opts.Claims, Root: root, Volumes: volumes}
	for _, v := range volumes {
		sealed.Files = append(sealed.Files, v.Name)
	}
	if !strings.HasSuffix(w.partial.base, ".zip") {
		err = w.index(&sealed)
	}
	return sealed, errors.Join(err, w.closeSpools())
}

// payloadText writes a small payload file.
func (w *Writer) payloadText(name string, text []byte) error {
	_, err := w.file(name, int64(len(text)), w.opts.Claims.Created, bytes.NewReader(text))
	return err
}

// dataset writes the records of a dataset and, in a full archive, its open formats.
func (w *Writer) dataset(d formats.Dataset, s *spool) error {
	folder := dataDir + string(d) + "/"
	in, size, err := s.reader()
	if err != nil {
		return err
	}
	if _, err := w.file(folder+recordsFile, size, w.opts.Claims.Created, in); err != nil {
		return fmt.Errorf("%s: %w", folder+recordsFile, err)
	}
	if w.opts.Claims.Sequence > 0 {
		return nil
	}
	for _, codec := range w.opts.Codecs {
		if codec.Dataset != d || codec.Name != nil {
			continue
		}
		if err := w.openFormat(folder, codec, s); err != nil {
			return err
		}
	}
	return nil
}

// openFormat writes what a codec makes of a dataset. A codec that fails costs its file, not the archive.
func (w *Writer) openFormat(folder string, codec formats.Codec, s *spool) error {
	out, err := newSpool(w.partial.path, "open-"+codec.File)
	if err != nil {
		return err
	}
	defer out.close()
	if err := codec.Encode(out.file, s.records()); err != nil {
		if !errors.Is(err, formats.ErrInvalid) {
			return fmt.Errorf("%s%s: %w", folder, codec.File, err)
		}
		w.Omit(unencodable(codec.MediaType, formats.Record{Dataset: codec.Dataset}, err))
		return nil
	}
	in, size, err := out.reader()
	if err != nil || size == 0 {
		return err
	}
	if _, err = w.file(folder+codec.File, size, w.opts.Claims.Created, in); err != nil {
		return fmt.Errorf("%s%s: %w", folder, codec.File, err)
	}
	return nil
}

// finishClaims fills in what is known only now, and writes bag-info.txt and claims.json.
func (w *Writer) finishClaims() error {
	c := &w.opts.Claims
	for _, d := range formats.Datasets() {
		if claim := w.counts[d]; claim != nil {
			c.Datasets = append(c.Datasets, *claim)
		}
	}
	if c.Omissions = w.omissions; c.Omissions == nil {
		c.Omissions = []formats.Omission{}
	}
	var err error
	if w.opts.State != nil {
		c.StateRoot, err = w.opts.State()
	} else {
		c.StateRoot, err = linesRoot(w.states.Sorted())
	}
	if err != nil {
		return fmt.Errorf("state root: %w", err)
	}
	if err := c.validate(); err != nil {
		return err
	}
	if err := w.tag(bagInfoFile, w.bagInfo()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	return w.tag(claimsFile, append(text, '\n'))
}

// bagInfo returns bag-info.txt (RFC 8493 section 2.2.2).
func (w *Writer) bagInfo() []byte {
	c := &w.opts.Claims
	return fmt.Appendf(nil, "Source-Organization: %s\nExternal-Identifier: %s/%d\nBagging-Date: %s\nPayload-Oxum: %d.%d\nBag-Software-Agent: passerelle\n",
		foldless(cmpName(c.Source)), c.ExportID, c.Sequence, c.Created.UTC().Format(time.DateOnly), w.payload.Bytes, w.payload.Files)
}

func cmpName(p Party) string {
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

// foldless keeps a value on one line.
func foldless(s string) string { return strings.Join(strings.Fields(s), " ") }

// sign writes the manifests and the signatures over them, and returns the root.
func (w *Writer) sign() (formats.Hash, error) {
	in, size, err := w.manifest.reader()
	if err != nil {
		return formats.Hash{}, err
	}
	if err := w.tagStream(manifestFile, size, in); err != nil {
		return formats.Hash{}, err
	}
	slices.SortFunc(w.tags, func(a, b tagLine) int { return strings.Compare(a.name, b.name) })
	var tags []byte
	for _, t := range w.tags {
		tags = appendManifestLine(tags, t.hash, t.name)
	}
	sig, err := sign(w.opts.Signer, tags)
	if err != nil {
		return formats.Hash{}, err
	}
	mini, err := minisign(w.opts.Signer, w.pub, tags, w.opts.Claims.Created)
	if err != nil {
		return formats.Hash{}, err
	}
	keyPEM, err := publicPEM(w.pub)
	if err != nil {
		return formats.Hash{}, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{tagManifestFile, tags}, {rawSigFile, sig}, {minisigFile, mini}, {pemFile, keyPEM},
		{minisignPubFile, minisignPublic(w.pub)}, {statementFile, w.opts.Statement},
	} {
		if err := w.plain(f.name, f.data); err != nil {
			return formats.Hash{}, err
		}
	}
	return formats.HashOf(tags), nil
}

func (w *Writer) tagStream(name string, size int64, in io.Reader) error {
	out, err := w.out.create(w.root+name, size, w.opts.Claims.Created)
	if err != nil {
		return err
	}
	w.digest.Reset()
	if _, err := w.copy(out, in); err != nil {
		return err
	}
	hash := sum(w.digest)
	w.tags = append(w.tags, tagLine{name, hash})
	return w.out.end(hash)
}
