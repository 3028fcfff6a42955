package audit

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// Maker makes evidence bundles. All must be set but Now.
type Maker struct {
	Authority *consent.Authority
	Ledger    *ledger.Ledger
	Packs     []consent.Pack // whose texts are added where decisions name them
	Told      func(ctx context.Context, consentID string) ([]events.Event, error)
	Statement func(context.Context) (*statement.Signed, error)
	Signer    func(context.Context) (crypto.Signer, error) // the operator's key for archives
	Now       func() time.Time                             // nil: the clock
}

// Asked is what evidence is asked for, and by whom.
type Asked struct {
	Person  string // whose; not in the bundle
	Subject string // the pseudonym of the person, in their place
	Service string
	Consent string // which consent it is about; "": all with the service, be there any or not
	To      string // who gets it, as the log shall say
}

// Make logs that evidence is disclosed, and writes it as a ZIP file. It holds everything up to that very moment. The
// error wraps [ledger.ErrUnknown] if nothing is logged of the person, [consent.ErrNotFound] if there is no such service.
func (m *Maker) Make(ctx context.Context, a Asked, w io.Writer) error {
	b := &bundle{maker: m, asked: a, zip: zip.NewWriter(w), made: m.now().UTC().Truncate(time.Second)}
	if err := b.write(ctx); err != nil {
		return fmt.Errorf("make the evidence: %w", err)
	}
	return b.zip.Close()
}

func (m *Maker) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

// bundle is one that is being written.
type bundle struct {
	maker *Maker
	asked Asked
	zip   *zip.Writer
	made  time.Time
	sums  bytes.Buffer
	packs map[string]bool // whose texts are in it
}

func (b *bundle) write(ctx context.Context) error {
	m := b.maker
	service, err := m.Authority.Service(ctx, b.asked.Service)
	if err != nil {
		return err
	}
	// First, so that all that it shows is in the records, which are read after it.
	history, err := m.Ledger.History(ctx, ledger.Disclose{Person: b.asked.Person, Service: service.ID, To: b.asked.To})
	if err != nil {
		return err
	}
	signed, err := m.Statement(ctx)
	if err != nil {
		return err
	}
	checkpoint, err := m.Ledger.Published(ctx)
	if err != nil {
		return err
	}
	e := Evidence{Format: Format, Made: b.made, Operator: string(signed.Statement.ID), Log: checkpoint.Origin, To: b.asked.To, Subject: b.asked.Subject, Consent: b.asked.Consent,
		Service: EvidentService{service.ID, service.Name, service.LegalName, service.Country, service.Registrations}, Documents: []Document{}}
	if err := errors.Join(b.add(fileReadme, []byte(readme)), b.addJSON(fileHistory, history), b.add(fileStatement, signed.Raw())); err != nil {
		return err
	}
	if err := b.addConsents(ctx, &e); err != nil {
		return err
	}
	if err := b.addProofs(ctx, history); err != nil {
		return err
	}
	if err := b.addJSON(fileEvidence, e); err != nil {
		return err
	}
	return b.sign(ctx)
}

// addConsents adds what is kept of the consents between the person and the service.
func (b *bundle) addConsents(ctx context.Context, e *Evidence) error {
	all, err := b.maker.Authority.Between(ctx, b.asked.Person, b.asked.Service)
	if err != nil {
		return err
	}
	accesses, told := []EvidentAccess{}, []Told{}
	for _, id := range all {
		documents, err := b.addRevisions(ctx, id)
		if err != nil {
			return err
		}
		e.Documents = append(e.Documents, documents...)
		traced, err := b.maker.Authority.TraceAll(ctx, id)
		if err != nil {
			return err
		}
		for _, t := range traced {
			accesses = append(accesses, EvidentAccess{ID: t.ID, Consent: t.Consent, Revision: t.Revision, Datasets: t.Datasets, Action: t.Action, Begun: t.Begun, Ended: t.Ended,
				Records: t.Records, Bytes: t.Bytes, SHA256: t.SHA256, Outcome: t.Outcome, Token: t.Token})
		}
		said, err := b.maker.Told(ctx, id)
		if err != nil {
			return err
		}
		for _, s := range said {
			told = append(told, toldOf(s))
		}
	}
	return errors.Join(b.addJSON(fileAccesses, accesses), b.addJSON(fileTold, told))
}

func (b *bundle) addRevisions(ctx context.Context, id string) (list []Document, err error) {
	revisions, err := b.maker.Authority.Revisions(ctx, id)
	if err != nil {
		return nil, err
	}
	details, err := b.maker.Authority.StoredDetails(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, r := range revisions {
		folder := fmt.Sprintf("consents/%s/%d/", id, r.Number)
		d := Document{Consent: id, Revision: r.Number, State: r.State, At: r.At, Expires: r.Expires, Method: r.Method, Reason: r.Reason, Language: r.Language, Packs: r.Packs,
			Details: folder + "details.json", Facts: folder + "facts.json"}
		if err := errors.Join(b.add(d.Details, details[r.Number]), b.add(d.Facts, r.Facts), b.addPacks(r.Packs)); err != nil {
			return nil, err
		}
		if r.Notice != "" {
			d.Notice = folder + "notice.html"
			if err := b.addNotice(ctx, &r, d.Notice); err != nil {
				return nil, err
			}
		}
		list = append(list, d)
	}
	return list, nil
}

func (b *bundle) addNotice(ctx context.Context, r *consent.Revision, file string) error {
	about := r.Request
	if about == "" { // given again, without a request
		about = r.Consent
	}
	notice, err := b.maker.Authority.Notice(ctx, about, r.Notice)
	if err != nil {
		return err
	}
	return b.add(file, notice.Content)
}

// addPacks adds the texts of rule packs, as far as this program still has them.
func (b *bundle) addPacks(references []string) error {
	for _, p := range b.maker.Packs {
		name := p.ID() + " " + p.Hash()
		if !slices.Contains(references, name) || b.packs[name] {
			continue
		}
		if b.packs == nil {
			b.packs = map[string]bool{}
		}
		b.packs[name] = true
		if err := b.add(packFile(name), p.Source); err != nil {
			return err
		}
	}
	return nil
}

// packFile is where the text of a pack is: "packs/gdpr@2018-05-25-<sha256>.go.txt".
func packFile(reference string) string {
	return "packs/" + strings.ReplaceAll(reference, " ", "-") + ".go.txt"
}

// addProofs adds a proof of each decision's leaf in the form that everybody's tools know (C2SP tlog-proof).
func (b *bundle) addProofs(ctx context.Context, h *ledger.History) error {
	for i := range h.Events {
		e := &h.Events[i]
		if o, ok := e.Opened[ledger.Service]; !ok || o.Value != b.asked.Service {
			continue
		}
		if leaf, err := ledger.ParseLeaf(e.Leaf); err != nil || leaf.Class() != ledger.Decision {
			continue
		}
		proof, err := b.maker.Ledger.ProveLeaf(ctx, e.Index)
		if err != nil {
			return err
		}
		if err := b.add(fmt.Sprintf("leaves/%d.tlog-proof", e.Index), proof); err != nil {
			return err
		}
	}
	return nil
}

func (b *bundle) add(name string, content []byte) error {
	sum := sha256.Sum256(content)
	fmt.Fprintf(&b.sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	return b.store(name, content)
}

func (b *bundle) store(name string, content []byte) error {
	w, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.made})
	if err == nil {
		_, err = w.Write(content)
	}
	return err
}

func (b *bundle) addJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return b.add(name, append(text, '\n'))
}

// sign signs the list of all files, as `openssl pkeyutl -verify -rawin` checks it.
func (b *bundle) sign(ctx context.Context) error {
	signer, err := b.maker.Signer(ctx)
	if err != nil {
		return err
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("evidence is signed with Ed25519, not with a %T", signer.Public())
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	if err := b.add(fileKey, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})); err != nil {
		return err
	}
	signature, err := signer.Sign(nil, b.sums.Bytes(), crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return errors.Join(b.store(fileSums, b.sums.Bytes()), b.store(fileSignature, signature))
}

const readme = `EVIDENCE ABOUT A CONSENT                                        PREUVES D'UN CONSENTEMENT

This is what an operator logged between one person and one service, complete up to the moment at which it was made.
You need not trust the operator: the log was signed before you asked, and cosigned by those who witness it.
Ceci est tout ce qu'un opérateur a consigné entre une personne et un service, complet jusqu'au moment de sa fabrication.
Il n'est pas nécessaire de faire confiance à l'opérateur : le journal a été signé avant votre demande, et contresigné par ceux
qui en sont témoins.

All at once (with the log's key, which you have from the operator's notification, from your own register or from a witness):
    passerelle audit verify THIS.zip --key 'KEY'
    passerelle audit verify THIS.zip --key 'KEY' --purpose IRI --dataset NAME --at 2026-03-01T12:00:00Z

With tools that everybody has, in the folder where this was unpacked:
    sha256sum --check SHA256SUMS
    openssl pkeyutl -verify -pubin -inkey signing-key.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig
    leaves/*.tlog-proof  are C2SP tlog-proofs (https://c2sp.org/tlog-proof): any implementation checks them

evidence.json   what this is about: the service, the person by a pseudonym, each revision with its files
history.json    the person's whole chain in the log. What concerns the service is opened; of all else, whose it is
consents/       by consent and revision: what was granted (details), what the rules looked at (facts), the exact notice
packs/          the rules that judged, as text; their SHA-256 is in the log with each decision
accesses.json   what was read, when, how much, by which token (SHA-256)
told.json       what the service was told of changes, and whether it answered
operator.json   who the operator is, signed by its identity key
`
