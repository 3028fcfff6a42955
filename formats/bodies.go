package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// File is the body of a file that has a place in the person's tree. Its bytes are the record's blob.
type File struct {
	MediaType   string            `json:"mediaType,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Executable  bool              `json:"executable,omitempty"`
	Favourite   bool              `json:"favourite,omitempty"`
	Encrypted   bool              `json:"encrypted,omitempty"`   // encrypted by the person; the operator cannot read it
	RestorePath string            `json:"restorePath,omitempty"` // in the trash: the folder it was thrown away from
	NameBytes   []byte            `json:"nameBytes,omitempty"`   // the true path, where it is not UTF-8; base64
	Checksums   map[string]string `json:"checksums,omitempty"`   // by algorithm ("md5"), in hexadecimal
	Metadata    json.RawMessage   `json:"metadata,omitempty"`    // what the origin read from the bytes (EXIF, …)
}

// Folder is the body of a folder. A folder exists even when it is empty.
type Folder struct {
	Tags        []string `json:"tags,omitempty"`
	Favourite   bool     `json:"favourite,omitempty"`
	RestorePath string   `json:"restorePath,omitempty"`
	NameBytes   []byte   `json:"nameBytes,omitempty"`
}

// Version is the body of an earlier state of a file. It links to that file (rel "file"); its blob is what the file
// held then, and the record's Modified says when.
type Version struct {
	Tags      []string          `json:"tags,omitempty"`
	Checksums map[string]string `json:"checksums,omitempty"`
	Metadata  json.RawMessage   `json:"metadata,omitempty"`
}

// Note is the body of a note. The record has a path, since notes live among the files; its blob is the note as its
// editor stored it.
type Note struct {
	Title       string          `json:"title"`
	Markdown    string          `json:"markdown"` // CommonMark, without front matter
	Tags        []string        `json:"tags,omitempty"`
	MediaType   string          `json:"mediaType,omitempty"` // of the blob
	RestorePath string          `json:"restorePath,omitempty"`
	ProseMirror json.RawMessage `json:"proseMirror,omitempty"` // {schema, content, version} of the editor
	FrontMatter json.RawMessage `json:"frontMatter,omitempty"` // unknown members of a Markdown file's front matter
}

// Album is the body of a photo album. Pictures link to it (rel "album").
type Album struct {
	Name string `json:"name"`
	Auto bool   `json:"auto,omitempty"` // made by a program, not by the person
}

// BankAccount is the body of a bank account. Names are those of Berlin Group NextGenPSD2 1.3 "accountDetails".
type BankAccount struct {
	ResourceID      string        `json:"resourceId,omitempty"`
	IBAN            string        `json:"iban,omitempty"`
	BBAN            string        `json:"bban,omitempty"` // or the account number that the origin knows
	Currency        string        `json:"currency"`       // ISO 4217
	Name            string        `json:"name,omitempty"`
	Product         string        `json:"product,omitempty"`
	CashAccountType string        `json:"cashAccountType,omitempty"` // ISO 20022 code, for example CACC
	OwnerName       string        `json:"ownerName,omitempty"`
	BIC             string        `json:"bic,omitempty"`
	Institution     string        `json:"institution,omitempty"` // name of the bank; not a Berlin Group name
	Balances        []BankBalance `json:"balances,omitempty"`
}

// BankBalance is a Berlin Group "balance".
type BankBalance struct {
	BalanceAmount      Amount `json:"balanceAmount"`
	BalanceType        string `json:"balanceType"` // closingBooked, expected, openingBooked, interimAvailable, …
	ReferenceDate      string `json:"referenceDate,omitempty"`
	LastChangeDateTime string `json:"lastChangeDateTime,omitempty"`
}

// BankOperation is the body of one movement of an account, to which it links (rel "account"). Names are those of
// Berlin Group NextGenPSD2 1.3 "transactions". A negative amount leaves the account. Dates are YYYY-MM-DD.
type BankOperation struct {
	TransactionID       string         `json:"transactionId,omitempty"`
	EntryReference      string         `json:"entryReference,omitempty"`
	EndToEndID          string         `json:"endToEndId,omitempty"`
	MandateID           string         `json:"mandateId,omitempty"`
	CreditorID          string         `json:"creditorId,omitempty"`
	Status              string         `json:"status,omitempty"` // "booked" or "pending"; booked if absent
	BookingDate         string         `json:"bookingDate,omitempty"`
	ValueDate           string         `json:"valueDate,omitempty"`
	TransactionDate     string         `json:"transactionDate,omitempty"` // when the person acted; not a Berlin Group name
	TransactionAmount   Amount         `json:"transactionAmount"`
	CreditorName        string         `json:"creditorName,omitempty"`
	CreditorAccount     *BankReference `json:"creditorAccount,omitempty"`
	DebtorName          string         `json:"debtorName,omitempty"`
	DebtorAccount       *BankReference `json:"debtorAccount,omitempty"`
	Remittance          string         `json:"remittanceInformationUnstructured,omitempty"`
	AdditionalInfo      string         `json:"additionalInformation,omitempty"`
	BankTransactionCode string         `json:"bankTransactionCode,omitempty"` // ISO 20022, for example PMNT-RDDT-ESDD
	ProprietaryCode     string         `json:"proprietaryBankTransactionCode,omitempty"`
	Category            string         `json:"category,omitempty"` // the origin's own classification
	// Corrections are what the bank said before, from the oldest on; not a Berlin Group name.
	Corrections []BankCorrection `json:"corrections,omitempty"`
}

// BankCorrection is what an operation was before its bank changed it, or booked it.
type BankCorrection struct {
	Until string          `json:"until"` // the day on which the change was noticed
	Was   json.RawMessage `json:"was"`   // the members that changed, as they were; null for one that was not there
}

// BankReference is a Berlin Group "accountReference".
type BankReference struct {
	IBAN     string `json:"iban,omitempty"`
	BBAN     string `json:"bban,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// Bill is the body of an invoice, a receipt, a health expense or a reimbursement. It may link to the document
// (rel "document") and to the bank operation that paid it (rel "operation"). Dates are YYYY-MM-DD.
type Bill struct {
	Issuer         string  `json:"issuer"`
	Number         string  `json:"number,omitempty"`
	Date           string  `json:"date"`
	Amount         Amount  `json:"amount"`             // above zero, also for a refund
	Refund         bool    `json:"refund,omitempty"`   // money that comes back to the person
	Category       string  `json:"category,omitempty"` // "health_costs", "phone", …
	Beneficiary    string  `json:"beneficiary,omitempty"`
	OriginalAmount *Amount `json:"originalAmount,omitempty"` // what the person paid, of which this is refunded
	OriginalDate   string  `json:"originalDate,omitempty"`
	GroupAmount    *Amount `json:"groupAmount,omitempty"` // the one payment in which several refunds came
	Title          string  `json:"title,omitempty"`
	// ThirdPartyPayer says that the insurer paid whoever gave the care: no money of it moves at the person's bank.
	ThirdPartyPayer bool `json:"thirdPartyPayer,omitempty"`
}

// Match is the body of what is known of a bill (rel "bill") and a bank operation (rel "operation"): that the one paid or refunded
// the other, that it may, or that the person says that it does not. Where several bills are of one purchase, it links to the one
// that stands for its amount (rel "same-as"). It is in the dataset of its bill: whoever may read a bill may read when and in which
// parts it was paid, and nothing else of the account.
type Match struct {
	Role     string  `json:"role"`             // "debit": the person paid; "credit": money came back
	State    string  `json:"state"`            // "linked", "proposed" or "rejected"
	Date     string  `json:"date,omitempty"`   // of the bill
	Amount   *Amount `json:"amount,omitempty"` // of the bill that the operation is about
	Rule     string  `json:"rule,omitempty"`   // why: "amount", "group", "sum", "parts", "short", "person", "completion"
	Evidence string  `json:"evidence,omitempty"`
	Words    string  `json:"words,omitempty"` // what of the bill is in the operation's text
	Days     int     `json:"days,omitempty"`  // from the bill to the operation
	Partial  bool    `json:"partial,omitempty"`
	Verdict  string  `json:"verdict,omitempty"` // of the person: "confirmed", "rejected", "hand"
}

// Alert is the body of a reimbursement of a health expense that is late or short. It links to the bills (rel "bill") and to the
// operation that paid (rel "operation").
type Alert struct {
	Type      string `json:"type"`            // "late" or "short"
	State     string `json:"state"`           // "open", "dismissed" by the person, or "settled"
	Payer     string `json:"payer"`           // "insurance" or "complementary"
	Issuer    string `json:"issuer"`          // the insurer
	Who       string `json:"who,omitempty"`   // gave the care
	Date      string `json:"date"`            // of the care
	Due       string `json:"due"`             // until when it is usually there
	Raised    string `json:"raised"`          // the day on which the person was first told
	Ended     string `json:"ended,omitempty"` // the day on which it was dismissed or settled
	Paid      Amount `json:"paid"`
	Missing   Amount `json:"missing"`             // at the most, where nothing was announced
	Announced bool   `json:"announced,omitempty"` // the insurer said that it pays
	Advice    string `json:"advice"`              // "ask-payment", "ask-difference", "send-proof", "send-statement"
}

// EnergyReading is the body of one meter reading: how much flowed in the interval that begins at Start.
type EnergyReading struct {
	Provider  string  `json:"provider,omitempty"` // "enedis", "grdf", …
	Commodity string  `json:"commodity"`          // "electricity", "gas" or "water"
	Unit      string  `json:"unit"`               // "kWh", "kW", "m3", "L"
	Start     string  `json:"start"`              // local time at the meter, YYYY-MM-DDThh:mm:ss
	Interval  string  `json:"interval"`           // ISO 8601 duration: PT30M, P1D, P1M, P1Y
	Value     Decimal `json:"value"`
}

// VaultItem is the body of a password vault's entry. Everything secret stays encrypted in the native document.
type VaultItem struct {
	Type   string `json:"type"`             // "login", "note", "card", "identity", "folder", "profile", "organization", …
	Scheme string `json:"scheme,omitempty"` // who can decrypt it: "bitwarden"
}

// Share is the body of a share, a public link or a permission.
type Share struct {
	Type    string        `json:"type"` // "link", "members", "app"
	Title   string        `json:"title,omitempty"`
	Members []ShareMember `json:"members,omitempty"`
	Rules   []ShareRule   `json:"rules,omitempty"`
	Expires string        `json:"expires,omitempty"` // RFC 3339
}

// ShareMember is somebody with whom something is shared.
type ShareMember struct {
	Name   string `json:"name,omitempty"`
	Email  string `json:"email,omitempty"`
	Status string `json:"status,omitempty"` // "owner", "ready", "pending", "revoked", …
}

// ShareRule says what may be done with which records.
type ShareRule struct {
	Type    string   `json:"type"` // the origin's name for the kind of record
	Values  []string `json:"values,omitempty"`
	Actions []string `json:"actions,omitempty"` // "GET", "POST", …
}

// MarshalBody encodes a body without escaping characters that JSON lets stand.
func MarshalBody(body any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("%w: body: %v", ErrInvalid, err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// BodyAs decodes the body of r, for example BodyAs[File](r). Members that T does not have are left where they are.
func BodyAs[T any](r Record) (T, error) {
	var body T
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return body, fmt.Errorf("%w: body of %s %s/%s: %v", ErrInvalid, r.Kind, r.Dataset, r.ID, err)
	}
	return body, nil
}
