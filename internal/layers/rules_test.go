package layers

const module = "github.com/passerelle-cloud/passerelle"

// topFolders are the folders that the repository's root may have, hidden ones apart.
var topFolders = []string{"cmd", "compliance", "consent", "formats", "internal", "operators", "transfer"}

// rule says which packages of this module a package may import. "..." stands for all of them.
type rule struct {
	pkg string
	may []string
}

// rules has one row a package. Dependencies run one way: cmd → compliance, transfer → consent → consent/ledger, and
// transfer → operators → formats.
var rules = []rule{
	{"cmd/passerelle", []string{"..."}},
	{"cmd/example-service", []string{"internal/fapi"}},
	{"cmd/passerelle-bank", []string{"operators/bank/banktest"}},

	// Findings, rule packs and the regulator's view. Compliance does not know transfer, nor transfer compliance.
	{"compliance", []string{"consent", "consent/ledger", "formats", "internal/sqldb"}},
	{"compliance/gdpr", []string{"compliance", "consent", "formats"}},
	{"compliance/dga", []string{"compliance", "consent", "formats"}},
	{"compliance/psd2", []string{"compliance", "consent", "formats"}},
	{"compliance/drafts", []string{"compliance", "consent", "formats"}},
	{"compliance/dataact", []string{"compliance", "consent", "formats"}},
	{"compliance/audit", []string{"compliance", "compliance/dataact", "compliance/dga", "compliance/psd2", "consent", "consent/events", "consent/ledger", "formats", "formats/statement", "internal/sqldb"}},
	{"compliance/api", []string{"compliance", "compliance/audit", "consent", "consent/ledger", "formats", "internal/problem", "internal/strict"}},
	{"compliance/web", []string{"compliance", "compliance/audit", "consent", "consent/ledger", "formats", "internal/webui"}},
	{"compliance/audittest", []string{"compliance/audit", "compliance/dga", "compliance/gdpr", "consent", "consent/consenttest", "consent/events", "consent/ledger", "formats/statement", "internal/jobs", "internal/sqldb", "operators/keys"}},

	// What moves data. Adapters and codecs are handed to it.
	{"transfer", []string{"consent", "consent/ledger", "formats", "formats/archive", "formats/statement", "internal/extsort", "internal/jobs", "internal/sqldb", "operators"}},
	{"transfer/api", []string{"transfer", "transfer/money", "transfer/move", "consent", "formats", "formats/archive", "formats/statement", "internal/problem", "internal/strict", "operators"}},
	{"transfer/move", []string{"transfer", "consent/ledger", "formats", "formats/archive", "formats/statement", "internal/problem", "internal/sqldb", "operators"}},
	{"transfer/money", []string{"transfer", "formats", "formats/reconcile", "internal/jobs", "internal/sqldb", "operators"}},
	{"transfer/bank", []string{"consent", "formats", "internal/jobs", "internal/seal", "internal/sqldb", "operators/bank"}},
	{"transfer/web", []string{"transfer", "transfer/bank", "transfer/money", "transfer/move", "consent", "formats", "formats/reconcile", "internal/webui", "operators", "operators/bank"}},

	// Consent knows neither operators nor HTTP; its own api, web and oauth do their part of that.
	{"consent", []string{"consent/ledger", "formats", "internal/jobs", "internal/sqldb", "internal/strict"}},
	{"consent/consenttest", []string{"consent", "consent/ledger", "internal/sqldb"}},
	{"consent/events", []string{"consent", "internal/jobs", "internal/sqldb"}},
	{"consent/ledger", []string{"internal/sqldb"}},
	{"consent/oauth", []string{"consent", "consent/ledger", "internal/problem", "internal/sqldb"}},
	{"consent/receipt", []string{"consent", "formats"}},
	{"consent/api", []string{"consent", "consent/ledger", "consent/receipt", "formats", "internal/problem", "internal/strict"}},
	{"consent/web", []string{"consent", "consent/events", "formats", "internal/problem", "internal/webui"}},

	// What can hold an instance. One adapter a package, none knows another, nor an archive.
	{"operators", []string{"formats"}},
	{"operators/bank", []string{"formats", "formats/camt", "internal/strict"}},
	{"operators/bank/bankspec", []string{"operators/bank/banktest"}},
	{"operators/bank/banktest", []string{"compliance/psd2"}}, // a bank, which knows what a certificate must be, and nothing of its clients
	{"operators/cozy", []string{"operators", "formats", "internal/extsort"}},
	{"operators/dav", []string{"operators", "operators/home", "formats", "formats/icalendar", "formats/vcard"}},
	{"operators/dir", []string{"operators", "formats", "internal/extsort"}},
	{"operators/home", []string{"operators", "formats", "internal/extsort", "internal/sqldb"}},
	{"operators/solid", []string{"operators", "formats"}},
	{"operators/webdav", []string{"operators", "formats"}},
	{"operators/accounts", []string{"internal/seal", "internal/sqldb"}},
	{"operators/peer", []string{"formats/statement", "internal/fapi", "internal/problem", "internal/seal"}},
	{"operators/provider", []string{"internal/seal"}},
	{"operators/provider/providertest", nil},
	{"operators/web", []string{"internal/webui", "operators/accounts", "operators/provider"}},
	{"operators/keys", []string{"formats", "formats/statement"}},
	{"operators/conformance", []string{"operators", "formats"}},
	{"operators/example", []string{"operators", "formats"}},

	// What an instance is made of. One codec a package, none knows another.
	{"formats", nil},
	{"formats/archive", []string{"formats", "formats/statement", "internal/extsort"}},
	{"formats/reconcile", []string{"formats", "internal/strict"}},
	{"formats/statement", []string{"formats", "internal/strict"}},
	{"formats/bankcsv", []string{"formats"}},
	{"formats/camt", []string{"formats"}},
	{"formats/energycsv", []string{"formats"}},
	{"formats/geojson", []string{"formats"}},
	{"formats/icalendar", []string{"formats"}},
	{"formats/markdown", []string{"formats"}},
	{"formats/vcard", []string{"formats"}},

	// Plumbing that belongs to no domain.
	{"internal/apitest", nil},
	{"internal/brand", []string{"internal/strict"}},
	{"internal/browsertest", nil},
	{"internal/dbtest", []string{"internal/sqldb"}},
	{"internal/extsort", nil},
	{"internal/fapi", nil},
	{"internal/jobs", []string{"internal/sqldb"}},
	{"internal/layers", nil},
	{"internal/problem", nil},
	{"internal/racetest", nil},
	{"internal/seal", nil},
	{"internal/sqldb", nil},
	{"internal/strict", nil},
	{"internal/webui", []string{"internal/brand"}},
}

// forTests are packages that no program may contain.
var forTests = []string{"compliance/audittest", "consent/consenttest", "operators/bank/bankspec", "operators/conformance", "operators/provider/providertest", "internal/apitest", "internal/browsertest", "internal/dbtest", "internal/racetest"}

// only names the packages that may import something, and what is below it; nobody else may.
var only = []struct {
	what string
	who  []string
}{
	{"github.com/ory/fosite", []string{"consent/oauth"}},
	{"github.com/riverqueue/river", []string{"internal/jobs"}},
	{"database/sql", []string{"compliance", "compliance/audit", "consent", "consent/consenttest", "consent/events", "consent/ledger", "consent/oauth", "internal/dbtest",
		"internal/jobs", "internal/sqldb", "operators/accounts", "operators/home", "transfer", "transfer/bank", "transfer/money", "transfer/move"}},
	{"modernc.org/sqlite", []string{"internal/sqldb"}},
	{"github.com/jackc/pgx", []string{"internal/jobs", "internal/sqldb"}},
	{"github.com/pressly/goose", []string{"internal/sqldb"}},
	{"github.com/hashicorp/vault", []string{"operators/keys"}},
	{"github.com/alecthomas/kong", []string{"cmd/passerelle"}},
	{"github.com/schollz/progressbar", []string{"cmd/passerelle"}},
	{"testing", []string{"compliance/audittest", "consent/consenttest", "operators/bank/bankspec", "operators/conformance", "operators/provider/providertest", "internal/apitest", "internal/browsertest", "internal/dbtest"}},
	{"github.com/go-webauthn", []string{"operators/accounts"}},
	{"github.com/coreos/go-oidc", []string{"operators/provider"}},
	{"github.com/chromedp", []string{"internal/browsertest"}},
	{"C", nil}, // the program is built without cgo
}

// never names what a package, or with "/..." each of those below a folder, must not import.
var never = []struct {
	pkg  string
	what []string
}{
	{"consent", []string{"net", "net/http"}},
	{"formats/...", []string{"net", "net/http", "os/exec"}},
	{"operators", []string{"net", "net/http"}},
	{"transfer/money", []string{"net", "net/http"}},
	{"transfer/bank", []string{"net", "net/http"}},
	{"compliance/gdpr", []string{"net/http", "os"}},
	{"compliance/dga", []string{"net/http", "os"}},
	{"compliance/psd2", []string{"net/http", "os"}},
	{"compliance/dataact", []string{"net/http", "os"}},
	{"compliance/drafts", []string{"net/http", "os"}},
}
