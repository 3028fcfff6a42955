package audit

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// What a bundle may hold at the most.
const (
	maxFiles = 400_000
	maxTotal = 2 << 30 // bytes, unpacked
)

// Trusted is what whoever checks a bundle trusts.
type Trusted struct {
	Log *ledger.Trust
	// Operator is the statement of the operator as the supervisor has it; nil: only the log's key is known, and who signed
	// the bundle is what the bundle itself says.
	Operator *statement.Signed
}

// Open reads a bundle and checks all of it, offline: that no file was changed, added or left out; the operator's
// signature; the log's, its witnesses', every proof, and that the chain has no gap; that each document is the one whose
// hash was logged; that no access in the records is missing in the log, nor the reverse, nor says something else. The
// error wraps [ErrBundle], [ledger.ErrProof] or [ledger.ErrUntrusted], and names what is wrong.
func Open(r io.ReaderAt, size int64, trusted Trusted) (*Proven, error) {
	o := &opening{files: map[string][]byte{}}
	p, err := o.open(r, size, trusted)
	if err != nil && !errors.Is(err, ErrBundle) && !errors.Is(err, ledger.ErrProof) && !errors.Is(err, ledger.ErrUntrusted) {
		err = fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return p, err
}

type opening struct {
	files    map[string][]byte
	signed   *statement.Signed
	evidence Evidence
}

func (o *opening) open(r io.ReaderAt, size int64, trusted Trusted) (*Proven, error) {
	if err := o.read(r, size); err != nil {
		return nil, err
	}
	if err := o.checkSums(); err != nil {
		return nil, err
	}
	if err := o.decode(fileEvidence, &o.evidence); err != nil {
		return nil, err
	}
	if o.evidence.Format != Format {
		return nil, fmt.Errorf("its format is %.60q, not %q", o.evidence.Format, Format)
	}
	if err := o.checkSignature(trusted.Operator); err != nil {
		return nil, err
	}
	history, err := ledger.ReadHistory(bytes.NewReader(o.files[fileHistory]))
	if err != nil {
		return nil, err
	}
	shown, err := history.Verify(trusted.Log)
	if err != nil {
		return nil, err
	}
	if shown.Service != o.evidence.Service.ID || shown.Checkpoint.Origin != o.evidence.Log || shown.Closed > 0 {
		return nil, fmt.Errorf("the chain in it is not opened for the service %s in the log %s", o.evidence.Service.ID, o.evidence.Log)
	}
	return o.prove(shown, trusted.Operator != nil)
}

// read unpacks the files, within limits.
func (o *opening) read(r io.ReaderAt, size int64) error {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("it is no ZIP file: %w", err)
	}
	if len(archive.File) > maxFiles {
		return fmt.Errorf("it holds %d files, more than %d", len(archive.File), maxFiles)
	}
	left := int64(maxTotal)
	for _, f := range archive.File {
		if _, twice := o.files[f.Name]; twice || f.Name != path.Clean(f.Name) || path.IsAbs(f.Name) || strings.HasPrefix(f.Name, "..") || strings.ContainsAny(f.Name, "\\\n") {
			return fmt.Errorf("the name %.100q is there twice, or none that it may hold", f.Name)
		}
		content, err := readFile(f, left)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		left -= int64(len(content))
		o.files[f.Name] = content
	}
	return nil
}

func readFile(f *zip.File, most int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(content)) > most {
		err = errors.New("unpacked, all of it is larger than 2 GiB")
	}
	return content, err
}

// checkSums holds every file against the list, and the list against the files.
func (o *opening) checkSums() error {
	list, ok := o.files[fileSums]
	if !ok {
		return fmt.Errorf("it has no %s", fileSums)
	}
	listed := map[string]bool{fileSums: true, fileSignature: true}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		want, name, ok := strings.Cut(lines.Text(), "  ")
		content, there := o.files[name]
		switch sum := sha256.Sum256(content); {
		case !ok || listed[name]:
			return fmt.Errorf("%s: the line %.100q is none of the list's, or there twice", fileSums, lines.Text())
		case !there:
			return fmt.Errorf("%s is missing", name)
		case hex.EncodeToString(sum[:]) != want:
			return fmt.Errorf("%s was changed: its SHA-256 is not the one that was signed", name)
		}
		listed[name] = true
	}
	for name := range o.files {
		if !listed[name] {
			return fmt.Errorf("%.200s was added: it is not in the list that was signed", name)
		}
	}
	return lines.Err()
}

// checkSignature checks that the operator signed the list: with a key of the statement in the bundle, and, where the
// operator is known, of the statement that is known.
func (o *opening) checkSignature(known *statement.Signed) (err error) {
	block, rest := pem.Decode(o.files[fileKey])
	if block == nil || len(rest) > 0 {
		return fmt.Errorf("%s is no key", fileKey)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := key.(ed25519.PublicKey)
	if err != nil || !ok {
		return fmt.Errorf("%s is no Ed25519 key", fileKey)
	}
	if !ed25519.Verify(public, o.files[fileSums], o.files[fileSignature]) {
		return fmt.Errorf("the signature is not that of the key in it over %s", fileSums)
	}
	if o.signed, err = statement.Parse(o.files[fileStatement]); err != nil {
		return err
	}
	if string(o.signed.Statement.ID) != o.evidence.Operator {
		return fmt.Errorf("it says that it is of the operator %.100q, and was signed by %s", o.evidence.Operator, o.signed.Statement.ID)
	}
	if err := o.signed.ArchiveKeyAt(public, o.evidence.Made); err != nil {
		return err
	}
	if known == nil {
		return nil
	}
	pins := &statement.Pins{}
	if err := pins.Pin(known); err != nil {
		return err
	}
	if err := pins.Judge(o.signed).ArchiveKeyAt(public, o.evidence.Made); err != nil {
		return fmt.Errorf("the operator that signed it is not the one that is known: %w", err)
	}
	return nil
}

func (o *opening) decode(name string, v any) error {
	dec := json.NewDecoder(bytes.NewReader(o.files[name]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, err)
	}
	if dec.More() {
		return fmt.Errorf("%s: something follows it", name)
	}
	return nil
}

// logged is the part of a decision's detail in the log that names documents by their hashes.
type logged struct {
	Details string `json:"details"`
	Facts   string `json:"facts"`
	Notice  string `json:"notice"`
}

// prove follows the chain, and holds what is kept against what was logged.
func (o *opening) prove(shown *ledger.Shown, known bool) (*Proven, error) {
	p := &Proven{Evidence: o.evidence, Shown: shown, Identity: o.signed.Fingerprint(), Known: known}
	accesses, err := o.accesses()
	if err != nil {
		return nil, err
	}
	if err := o.decode(fileTold, &p.Told); err != nil {
		return nil, err
	}
	state := map[string]*Step{} // how each consent stands, by id
	for _, e := range shown.Events {
		f := e.Fields
		switch what := f[ledger.Type]; {
		case strings.HasPrefix(what, "consent."):
			step, err := o.step(e, what)
			if err != nil {
				return nil, err
			}
			step.follow(state[step.Consent])
			p.Steps = append(p.Steps, *step)
			if step.Consent != "" && what != "consent.refused" {
				state[step.Consent] = step
			}
		case what == "access.begun":
			a, err := accesses.begun(e)
			if err != nil {
				return nil, err
			}
			a.judge(state[a.Consent])
			p.Accesses = append(p.Accesses, a)
		case what == "access.finished":
			if err := accesses.finished(e); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range p.Accesses {
		if accesses.done[a.ID] {
			a.Finished = true
		}
	}
	return p, errors.Join(accesses.rest(shown), o.unlogged(p))
}

// step is what the log says of a decision, with its documents.
func (o *opening) step(e ledger.ShownEvent, what string) (*Step, error) {
	s := &Step{Leaf: e.Index, At: e.Time, What: what, Consent: e.Fields[ledger.Consent], Regime: e.Fields[ledger.Regime]}
	if what == "consent.refused" || what == "consent.paused" || what == "consent.resumed" {
		s.Paused = what == "consent.paused"
		return s, nil
	}
	if _, err := fmt.Sscanf(e.Fields[ledger.Revision], "%d", &s.Revision); err != nil {
		return nil, fmt.Errorf("leaf %d names no revision", e.Index)
	}
	at := slices.IndexFunc(o.evidence.Documents, func(d Document) bool { return d.Consent == s.Consent && d.Revision == s.Revision })
	if at < 0 {
		return nil, fmt.Errorf("revision %d of consent %s was logged (leaf %d), and is left out here", s.Revision, s.Consent, e.Index)
	}
	d := o.evidence.Documents[at]
	var hashes logged
	if err := json.Unmarshal([]byte(e.Fields[ledger.Detail]), &hashes); err != nil {
		return nil, fmt.Errorf("leaf %d: its detail cannot be read: %w", e.Index, err)
	}
	for _, f := range []struct{ file, want string }{{d.Details, hashes.Details}, {d.Facts, hashes.Facts}, {d.Notice, hashes.Notice}} {
		if sum := sha256.Sum256(o.files[f.file]); f.want != "" && hex.EncodeToString(sum[:]) != f.want || f.want == "" && f.file != "" {
			return nil, fmt.Errorf("%s is not what was logged (leaf %d)", f.file, e.Index)
		}
	}
	if err := o.checkPacks(&d, s.Regime); err != nil {
		return nil, fmt.Errorf("leaf %d: %w", e.Index, err)
	}
	if err := json.Unmarshal(o.files[d.Details], &s.Details); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", d.Details, err)
	}
	for _, detail := range s.Details {
		if detail.Expires.After(s.Expires) {
			s.Expires = detail.Expires
		}
	}
	s.Notice, s.Language = d.Notice, d.Language
	s.State = stateOf(what)
	if what == "consent.shortened" && d.State.Valid() { // it was valid, and goes on as what it was
		s.State = d.State
	}
	if s.State == "" || s.State != d.State {
		return nil, fmt.Errorf("leaf %d says %s, and the revision that it is %s", e.Index, what, d.State)
	}
	return s, nil
}

// follow gives a step what the one before it on the same consent left: to pause changes nothing else, and a pause lasts
// until somebody ends it, or the consent has ended.
func (s *Step) follow(before *Step) {
	switch {
	case before == nil:
	case s.What == "consent.paused" || s.What == "consent.resumed":
		s.State, s.Revision, s.Details, s.Expires = before.State, before.Revision, before.Details, before.Expires
	case s.State.Valid() && before.State.Valid() && s.At.Before(before.Expires):
		s.Paused = before.Paused
	}
}

// checkPacks holds the rules' texts against the hashes that were logged.
func (o *opening) checkPacks(d *Document, regime string) error {
	if strings.Join(d.Packs, ", ") != regime {
		return fmt.Errorf("the rules %q were logged, and here it says %q", regime, strings.Join(d.Packs, ", "))
	}
	for _, reference := range d.Packs {
		text, there := o.files[packFile(reference)]
		sum := sha256.Sum256(text)
		if _, want, _ := strings.Cut(reference, " "); there && hex.EncodeToString(sum[:]) != want {
			return fmt.Errorf("%s is not the text that judged", packFile(reference))
		}
	}
	return nil
}

// stateOf is what an event of the log makes of a consent.
func stateOf(what string) consent.State {
	return map[string]consent.State{"consent.granted": consent.Given, "consent.renewed": consent.Renewed, "consent.withdrawn": consent.Withdrawn,
		"consent.expired": consent.Expired, "consent.invalidated": consent.Invalidated, "consent.revoked": consent.Revoked,
		"consent.carried": consent.Given, "consent.brought": consent.Requested, "consent.moved": consent.Revoked}[what]
}

// inFlight is how long before the end of the evidence something may be in the records whose entry in the log came after it:
// it was being committed while the evidence was made. It is not shown, since nothing proves it.
const inFlight = time.Minute

// unlogged is an error where a revision is in the documents that was never logged.
func (o *opening) unlogged(p *Proven) error {
	for _, d := range o.evidence.Documents {
		if d.At.Before(p.Shown.Until.Add(-inFlight)) && !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Consent == d.Consent && s.Revision == d.Revision }) {
			return fmt.Errorf("revision %d of consent %s is here, and was never logged", d.Revision, d.Consent)
		}
	}
	return nil
}
