package formats

import (
	"fmt"
	"slices"
)

// Dataset names one kind of data in an instance. The names are part of the archive format and of the API:
// they never change meaning.
type Dataset string

// The datasets, in the order in which an archive holds them.
const (
	Files     Dataset = "files"     // files, folders and earlier versions
	Notes     Dataset = "notes"     // notes: Markdown, with the editor's own document kept
	Photos    Dataset = "photos"    // albums; the pictures themselves are files
	Contacts  Dataset = "contacts"  // JSContact cards and groups (RFC 9553)
	Calendar  Dataset = "calendar"  // JSCalendar events and tasks (RFC 8984)
	Bank      Dataset = "bank"      // accounts and operations, in Berlin Group field names
	Bills     Dataset = "bills"     // invoices and receipts
	Health    Dataset = "health"    // health expenses and their reimbursements
	Energy    Dataset = "energy"    // meter readings
	Places    Dataset = "places"    // trips and places (GeoJSON, RFC 7946)
	Passwords Dataset = "passwords" // a password vault, encrypted as it came
	Consents  Dataset = "consents"  // what the person allowed to whom
	Shares    Dataset = "shares"    // shares, public links and permissions
	Settings  Dataset = "settings"  // how the person set up the instance
	Other     Dataset = "other"     // all the rest, lossless
)

var datasets = []Dataset{
	Files, Notes, Photos, Contacts, Calendar, Bank, Bills, Health, Energy, Places,
	Passwords, Consents, Shares, Settings, Other,
}

// Datasets returns every dataset in archive order.
func Datasets() []Dataset { return slices.Clone(datasets) }

// ParseDataset returns the dataset of that exact name.
func ParseDataset(name string) (Dataset, error) {
	if d := Dataset(name); slices.Contains(datasets, d) {
		return d, nil
	}
	return "", fmt.Errorf("%w: dataset %q is not one of %v", ErrInvalid, name, datasets)
}
