package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root      = "../.."
	ruleFile  = "internal/layers/rules_test.go"
	maxLevels = 2 // of packages under a top folder
)

// pkg is what the rules look at, of the non-test files of a package.
type pkg struct {
	path    string   // in this module, such as "formats/archive"
	imports []string // as they are written
	inits   []string // files that have an init function
}

// check returns what is against the rules, one sentence each.
func check(pkgs []pkg) []string {
	var faults []string
	for _, p := range pkgs {
		faults = append(faults, checkPlace(p)...)
		for _, file := range p.inits {
			faults = append(faults, fmt.Sprintf("%s has an init function: wire it in cmd/passerelle/wire.go instead", file))
		}
		for _, imported := range p.imports {
			if why := checkImport(p.path, imported); why != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", p.path, imported, why))
			}
		}
	}
	return faults
}

func checkPlace(p pkg) []string {
	var faults []string
	top, below, _ := strings.Cut(p.path, "/")
	if !slices.Contains(topFolders, top) {
		faults = append(faults, fmt.Sprintf("package %q is not in one of the folders %v", p.path, topFolders))
	}
	if below != "" && strings.Count(below, "/") >= maxLevels {
		faults = append(faults, fmt.Sprintf("package %s is more than %d levels under %s", p.path, maxLevels, top))
	}
	if ruleOf(p.path) == nil {
		faults = append(faults, fmt.Sprintf("package %s has no rule: say in %s what it may import", p.path, ruleFile))
	}
	return faults
}

func ruleOf(path string) *rule {
	for i := range rules {
		if rules[i].pkg == path {
			return &rules[i]
		}
	}
	return nil
}

func checkImport(from, imported string) string {
	for _, o := range only {
		if within(imported, o.what) && !slices.Contains(o.who, from) {
			return fmt.Sprintf("only %v may", o.who)
		}
	}
	for _, n := range never {
		if (n.pkg == from || strings.HasSuffix(n.pkg, "/...") && within(from, strings.TrimSuffix(n.pkg, "/..."))) && slices.Contains(n.what, imported) {
			return "it must not know that"
		}
	}
	own, isOwn := strings.CutPrefix(imported, module+"/")
	r := ruleOf(from)
	switch {
	case !isOwn || r == nil:
		return ""
	case slices.Contains(forTests, own) && !slices.Contains(forTests, from):
		return "that is for tests only"
	case slices.Contains(r.may, own) || slices.Contains(r.may, "..."):
		return ""
	}
	return fmt.Sprintf("it may import %v of ours; see %s", r.may, ruleFile)
}

// within reports whether path is what, or below it; "v5" below a module is its fifth major version.
func within(path, what string) bool {
	return path == what || strings.HasPrefix(path, what+"/")
}

// packages reads the module's non-test files.
func packages(t *testing.T) []pkg {
	t.Helper()
	found := map[string]*pkg{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		dir := path.Dir(rel)
		if found[dir] == nil {
			found[dir] = &pkg{path: dir}
		}
		return found[dir].add(file, rel)
	})
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		pkgs = append(pkgs, *found[dir])
	}
	return pkgs
}

func (p *pkg) add(file, name string) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if !slices.Contains(p.imports, imported) {
			p.imports = append(p.imports, imported)
		}
	}
	for _, decl := range parsed.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			p.inits = append(p.inits, name)
		}
	}
	return nil
}

func TestTheHouseIsInOrder(t *testing.T) {
	pkgs := packages(t)
	if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.path == "formats" && len(p.imports) > 0 }) {
		t.Fatalf("the packages were not found: %d", len(pkgs))
	}
	for _, fault := range check(pkgs) {
		t.Error(fault)
	}
}

func TestTopFoldersAreThoseOfTheDesign(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topFolders, e.Name()) {
			t.Errorf("folder %s: only %v belong there", e.Name(), topFolders)
		}
	}
}

func TestTheModuleIsTheOneOfTheRules(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !strings.HasPrefix(string(data), "module "+module+"\n") {
		t.Errorf("go.mod does not begin with the module %s: %v", module, err)
	}
}

func TestRulesNameEachPackageOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.pkg] {
			t.Errorf("%s has two rules", r.pkg)
		}
		seen[r.pkg] = true
		for _, own := range r.may {
			if own != "..." && ruleOf(own) == nil {
				t.Errorf("the rule of %s names %s, which has none", r.pkg, own)
			}
		}
	}
	for _, o := range only {
		for _, who := range o.who {
			if !seen[who] {
				t.Errorf("%s may be imported by %s, which has no rule", o.what, who)
			}
		}
	}
}

// Each broken layer is seen to fail, with the words that help.
func TestBrokenLayersAreFound(t *testing.T) {
	ours := func(path string) string { return module + "/" + path }
	cases := []struct{ pkg, imported, want string }{
		{"formats", ours("operators"), "it may import [] of ours"},
		{"formats", ours("internal/extsort"), "it may import [] of ours"},
		{"formats/vcard", ours("formats/icalendar"), "it may import [formats]"},
		{"formats/vcard", "net/http", "must not know"},
		{"formats/archive", ours("operators"), "it may import"},
		{"formats/archive", ours("formats/vcard"), "it may import"},
		{"formats/statement", ours("operators/keys"), "it may import"},
		{"formats/reconcile", ours("operators"), "it may import"},
		{"transfer/money", ours("operators/home"), "it may import"},
		{"transfer/money", "net/http", "must not know"},
		{"operators", ours("transfer"), "it may import"},
		{"operators/home", ours("operators/cozy"), "it may import"},
		{"operators/cozy", ours("formats/archive"), "it may import"},
		{"operators/keys", ours("consent"), "it may import"},
		{"operators/bank", ours("operators/bank/banktest"), "it may import"},
		{"operators/bank/banktest", ours("operators/bank"), "it may import"},
		{"cmd/passerelle-bank", ours("operators/bank/bankspec"), "for tests only"},
		{"transfer", ours("compliance"), "it may import"},
		{"transfer", ours("operators/home"), "it may import"},
		{"transfer/bank", ours("operators/home"), "it may import"},
		{"transfer/bank", "net/http", "must not know"},
		{"operators/bank", ours("consent"), "it may import"},
		{"operators/bank", ours("operators/keys"), "it may import"},
		{"compliance", ours("transfer"), "it may import"},
		{"consent", ours("operators"), "it may import"},
		{"consent", ours("consent/oauth"), "it may import"},
		{"consent", "net/http", "must not know"},
		{"consent", "github.com/ory/fosite", "only [consent/oauth]"},
		{"consent/ledger", ours("consent"), "it may import [internal/sqldb]"},
		{"consent/ledger", ours("formats"), "it may import [internal/sqldb]"},
		{"consent/web", "github.com/ory/fosite/handler/oauth2", "only [consent/oauth]"},
		{"internal/sqldb", ours("consent"), "it may import [] of ours"},
		{"internal/webui", ours("formats"), "it may import [internal/brand] of ours"},
		{"transfer", "github.com/riverqueue/river/rivertype", "only [internal/jobs]"},
		{"operators/home", "modernc.org/sqlite", "only [internal/sqldb]"},
		{"operators/cozy", "database/sql", "only ["},
		{"operators/home", "github.com/jackc/pgx/v5/stdlib", "only ["},
		{"cmd/passerelle", "database/sql", "only ["},
		{"cmd/passerelle", ours("operators/conformance"), "for tests only"},
		{"operators/dir", ours("operators/conformance"), "for tests only"},
		{"formats", "testing", "only ["},
		{"formats", "C", "only []"},
		{"formats/newcodec", ours("formats"), "has no rule: say in " + ruleFile},
		{"util", "fmt", "is not in one of the folders"},
		{".", "fmt", "is not in one of the folders"},
		{"formats/archive/tar/pax", "fmt", "more than 2 levels under formats"},
	}
	for _, c := range cases {
		faults := check([]pkg{{path: c.pkg, imports: []string{c.imported}}})
		if !strings.Contains(strings.Join(faults, "\n"), c.want) {
			t.Errorf("%s imports %s: found %q, not %q", c.pkg, c.imported, faults, c.want)
		}
	}
	if faults := check([]pkg{{path: "formats", inits: []string{"formats/codec.go"}}}); len(faults) != 1 || !strings.Contains(faults[0], "formats/codec.go has an init") {
		t.Errorf("an init function: %q", faults)
	}
}

func TestSoundLayersAreLeftAlone(t *testing.T) {
	sound := []pkg{
		{path: "formats", imports: []string{"encoding/json"}},
		{path: "formats/vcard", imports: []string{module + "/formats", "github.com/emersion/go-vcard"}},
		{path: "consent/oauth", imports: []string{"github.com/ory/fosite", "net/http", module + "/consent"}},
		{path: "consent/web", imports: []string{"net/http", module + "/internal/webui"}},
		{path: "internal/sqldb", imports: []string{"database/sql", "modernc.org/sqlite/lib", "github.com/jackc/pgx/v5"}},
		{path: "cmd/passerelle", imports: []string{module + "/operators/home", module + "/formats/vcard", module + "/compliance/gdpr"}},
		{path: "operators/conformance", imports: []string{"testing", module + "/operators"}},
		{path: "formats/archive", imports: []string{"net/url"}},
	}
	for _, fault := range check(sound) {
		t.Error(fault)
	}
}
