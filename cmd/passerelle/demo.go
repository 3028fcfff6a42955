package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/compliance/dga"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/keys"
	"github.com/passerelle-cloud/passerelle/operators/peer"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// demoCommand moves an invented person between two operators that it makes for the purpose, and checks everything.
type demoCommand struct {
	Keep bool   `help:"Leave the two operators and the archives there, to look around."`
	Seed uint64 `help:"Which person is invented." default:"1"`
}

// Run tells what it does as it does it, and fails unless both instances are the same at the end.
func (c *demoCommand) Run(ctx context.Context, p *program) error {
	dir, err := os.MkdirTemp("", "passerelle-demo-")
	if err != nil {
		return err
	}
	d := &demo{program: p, dir: dir, began: time.Now(), seed: c.Seed}
	defer d.close(c.Keep)
	if err := d.run(ctx, c.Seed); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if c.Keep {
		d.sayKept()
	}
	return nil
}

// demo is one run.
type demo struct {
	*program
	dir    string
	began  time.Time
	seed   uint64
	a, b   *operator
	sa, sb *serving       // the same, when they serve
	last   archive.Sealed // of the series that B gets
	bank   *demoBank      // where somebody has an account; nil: not yet open
	owner  string         // the person's name
	steps  int
}

// operator is one of the two, with the person's instance.
type operator struct {
	*gateway
	signed   *statement.Signed
	instance *home.Instance
	listener net.Listener // where its gateway will be
	banks    string       // folder of the profiles of banks; "": it reads at none
}

const (
	person      = "person" // the name of the instance at both
	indexSuffix = ".index.json"
)

func (d *demo) close(keep bool) {
	for _, s := range []*serving{d.sa, d.sb} {
		if s != nil {
			s.close()
		}
	}
	if d.bank != nil {
		d.bank.http.Close()
	}
	for _, o := range []*operator{d.a, d.b} {
		if o != nil {
			o.listener.Close() // where it did not serve
			o.Close()
		}
	}
	if !keep {
		os.RemoveAll(d.dir)
	}
}

// step says what comes next.
func (d *demo) step(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.out, "\n%d. %s\n", d.steps, fmt.Sprintf(format, args...))
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

func (d *demo) run(ctx context.Context, seed uint64) error {
	for _, do := range []func(context.Context) error{
		d.operators,
		func(ctx context.Context) error { return d.arrive(ctx, seed) },
		d.leave, d.follow, d.again, d.compare, d.look, d.toCozy, d.toFolder, d.opensBank, d.serve, d.asked, d.banked, d.moves, d.logs, d.audited,
	} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nAll of it is equal. %s.\n", time.Since(d.began).Round(100*time.Millisecond))
	return nil
}

// operators makes two operators that know each other.
func (d *demo) operators(ctx context.Context) (err error) {
	d.step("Two operators, each with keys of its own, exchange their signed statements.")
	if d.a, err = d.operator(ctx, "a", "maison-a.example.org", "Maison A", dga.Role, dataact.Role, psd2.RoleAISP); err != nil {
		return err
	}
	if d.b, err = d.operator(ctx, "b", "banque-b.example.org", "Banque B"); err != nil {
		return err
	}
	for _, pair := range [][2]*operator{{d.a, d.b}, {d.b, d.a}} {
		pins, err := pair[0].pins()
		if err != nil {
			return err
		}
		if err := pins.Pin(pair[1].signed); err != nil {
			return err
		}
		d.say("%s trusts %s, %.47s…", pair[0].signed.Statement.LegalName, pair[1].signed.Statement.LegalName, pair[1].signed.Fingerprint())
	}
	return nil
}

func (d *demo) operator(ctx context.Context, folder, host, name string, roles ...string) (*operator, error) {
	o := &operator{gateway: &gateway{dir: filepath.Join(d.dir, folder)}}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o.listener = listener
	profile := keys.Unregistered(host)
	profile.LegalName, profile.Roles, profile.Endpoints = name, roles, map[string]string{peer.Endpoint: "http://" + listener.Addr().String()}
	err = keys.SaveProfile(filepath.Join(o.dir, "operator.json"), profile)
	if err != nil {
		return nil, err
	}
	if o.signed, err = o.statement(ctx); err != nil {
		return nil, err
	}
	h, err := o.openHome(ctx)
	if err != nil {
		return nil, err
	}
	o.instance, err = h.Create(ctx, person, home.Options{})
	return o, err
}

// arrive puts the invented person's data at A.
func (d *demo) arrive(ctx context.Context, seed uint64) error {
	source := example.Person(seed, example.Scale{})
	described, err := source.Describe(ctx)
	if err != nil {
		return err
	}
	d.owner = described.Owner
	d.step("%s, whom nobody has ever met, keeps a digital life at %s.", described.Owner, d.a.signed.Statement.LegalName)
	target := d.a.instance.Target()
	report, err := transfer.Copy{Source: source, Target: target}.Run(ctx)
	if err != nil {
		return err
	}
	for _, dataset := range formats.Datasets() {
		if c, ok := report.Held[dataset]; ok {
			d.say("%-10s %5d records  %s", dataset, c.Records, inFiles(c))
		}
	}
	return nil
}

func inFiles(c formats.Count) string {
	if c.Files == 0 {
		return ""
	}
	return fmt.Sprintf("%d files, %s", c.Files, size(c.Bytes))
}

// leave writes everything into an archive for B, which B loads.
func (d *demo) leave(ctx context.Context) error {
	d.step("Everything leaves in one signed archive that only %s can open.", d.b.signed.Statement.LegalName)
	if err := d.carry(ctx, "move-0", nil); err != nil {
		return err
	}
	d.say("The same without encryption, for %s to keep and to check with anybody's tools:", d.owner)
	out := filepath.Join(d.dir, "mine.zip")
	if _, err := d.export(ctx, out, nil, nil); err != nil {
		return err
	}
	d.say("%s, %s", out, fileSize(out))
	return nil
}

// follow changes a few things at A, and sends what changed.
func (d *demo) follow(ctx context.Context) error {
	d.step("Life goes on at %s: a file is written, another is renamed, a contact is deleted. What changed follows.", d.a.signed.Statement.LegalName)
	if err := d.live(ctx); err != nil {
		return err
	}
	return d.carry(ctx, "move-1", &transfer.Previous{Claims: d.last.Claims, Root: d.last.Root})
}

// live makes the changes.
func (d *demo) live(ctx context.Context) error {
	text := "Nouvelle page, écrite après le départ.\n"
	file := formats.Record{
		ID: "demo-new-file", Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place("Journal, suite.txt"),
		Created: d.began, Modified: d.began, Blob: &formats.Blob{Size: int64(len(text)), Type: "text/plain"}, Body: json.RawMessage(`{"mediaType":"text/plain"}`),
	}
	if _, err := d.a.instance.Put(ctx, file, strings.NewReader(text)); err != nil {
		return err
	}
	source := d.a.instance.Source()
	defer source.Close()
	var renamed, gone *formats.Record
	for item, err := range source.Records(ctx, 0) {
		if err != nil {
			return err
		}
		r := item.Record
		switch {
		case renamed == nil && r.Kind == formats.KindFile && strings.HasPrefix(r.Path, "tree/") && r.ID != file.ID:
			r.Path += " (renommé)"
			renamed = &r
		case r.Kind == formats.KindCard && len(r.Links) == 0:
			gone = &r
		}
	}
	if renamed != nil {
		if _, err := d.a.instance.Put(ctx, *renamed, nil); err != nil {
			return err
		}
	}
	if gone != nil {
		return d.a.instance.Remove(ctx, gone.Dataset, gone.ID)
	}
	return nil
}

// carry exports from A for B, verifies and imports there.
func (d *demo) carry(ctx context.Context, name string, since *transfer.Previous) error {
	recipients, err := d.b.signed.Recipients()
	if err != nil {
		return err
	}
	out := filepath.Join(d.dir, name)
	sealed, err := d.export(ctx, out, since, func(e *transfer.Export) {
		party := partyOf(d.b.signed)
		e.Recipient, e.Recipients, e.Pseudonym = &party, recipients, d.a.instance.Pseudonym(party.ID)
	})
	if err != nil {
		return err
	}
	d.last = sealed
	total := sealed.Claims.Totals()
	d.say("archive %d: %d records, %d files, %s; the state that it leads to is %.16s…", sealed.Claims.Sequence, total.Records, total.Files, size(total.Bytes), sealed.Claims.StateRoot)
	report, err := d.load(ctx, out)
	if err != nil {
		return err
	}
	d.say("%s verified every byte, found it %s, and loaded it: %d records lost.", d.b.signed.Statement.LegalName, trust(report.Signer), report.Lost())
	if report.StateRoot == nil || !*report.StateRoot {
		return fmt.Errorf("what %s holds does not add up to the state that was signed", d.b.signed.Statement.LegalName)
	}
	d.say("Counted again there, it adds up to exactly the signed state.")
	return nil
}

func trust(s *archive.Signer) string {
	if s != nil && s.Trusted {
		return "intact and signed by " + s.Name + ", whom it trusts"
	}
	return "intact, though signed by nobody whom it trusts"
}

// export exports from A.
func (d *demo) export(ctx context.Context, out string, since *transfer.Previous, address func(*transfer.Export)) (archive.Sealed, error) {
	source := d.a.instance.Source()
	defer source.Close()
	command := exportCommand{From: "home:" + person, Out: out}
	e, err := command.prepare(ctx, d.a.gateway, source)
	if err != nil {
		return archive.Sealed{}, err
	}
	e.Since = since
	if address != nil {
		address(&e)
	}
	return e.Run(ctx)
}

// load imports at B.
func (d *demo) load(ctx context.Context, out string) (*transfer.Report, error) {
	var unlock unlockFlags
	a, err := unlock.open(ctx, d.program, d.b.gateway, []string{out + indexSuffix})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	expect, err := d.b.expectations(ctx)
	if err != nil {
		return nil, err
	}
	tmp, err := d.b.tmp()
	if err != nil {
		return nil, err
	}
	target := func(context.Context) (operators.Target, error) { return d.b.instance.Target(), nil }
	return transfer.Import{Archive: a, Target: target, Expect: expect, Trusted: true, Tmp: tmp, Journal: d.b.journal("home:" + person)}.Run(ctx)
}

// again shows that loading twice changes nothing.
func (d *demo) again(ctx context.Context) error {
	d.step("The last archive is loaded once more, as after a cut connection.")
	report, err := d.load(ctx, filepath.Join(d.dir, "move-1"))
	if err != nil {
		return err
	}
	if !report.Unchanged {
		return fmt.Errorf("loading the same archive twice changed something: %v", report.Results)
	}
	d.say("Nothing to do: all was there already.")
	return nil
}

// compare holds both homes against each other.
func (d *demo) compare(ctx context.Context) error {
	d.step("Both instances are compared, record by record and byte by byte.")
	a, b := d.a.instance.Source(), d.b.instance.Source()
	defer a.Close()
	defer b.Close()
	return d.same(ctx, transfer.Compare{A: a, B: b, Tmp: d.dir})
}

func (d *demo) same(ctx context.Context, c transfer.Compare) error {
	found, err := c.Run(ctx)
	if err != nil {
		return err
	}
	d.say("%d records are the same, with %d files, %s. %d differ.", found.Equal.Records, found.Equal.Files, size(found.Equal.Bytes), found.Differences)
	for _, e := range found.Examples {
		d.say("  %s", e)
	}
	if !found.Same() || found.Equal.Records == 0 {
		return fmt.Errorf("%d records differ", found.Differences)
	}
	return nil
}

func fileSize(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return err.Error()
	}
	return size(info.Size())
}

// sayKept says how to look around.
func (d *demo) sayKept() {
	fmt.Fprintf(d.out, `
Everything is in %[1]s. Look around:
  passerelle verify %[1]s/mine.zip
  passerelle inspect --records contacts %[1]s/mine.zip
  unzip -l %[1]s/mine.zip
  passerelle --data %[1]s/b verify %[1]s/move-0%[2]s
  passerelle --data %[1]s/b person list
  passerelle --data %[1]s/b log show --person %[3]s
  passerelle --data %[1]s/b serve
  passerelle --data %[1]s/b export --from home:%[3]s --out again.zip
  ls -R %[1]s/folder %[1]s/cozy
`, d.dir, indexSuffix, person)
}
