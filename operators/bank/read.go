package bank

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Information is what a reading is about, in the words of the rules for it.
type Information string

// What there is.
const (
	AccountList  Information = "accounts"
	Balances     Information = "balances"
	Transactions Information = "transactions"
)

// Reading is one request that is about to read at a bank. A retry and the next page are requests of their own.
type Reading struct {
	Asked    []Information
	Accounts []string // by the ids of their records; none: which there are
	From     string   // the first day of operations; "": all
	Present  *Presence
}

// Door is asked before each reading. Where it gives an error, nothing is read.
type Door func(ctx context.Context, r Reading) (Pass, error)

// Pass is a reading that is allowed.
type Pass struct {
	// Admit returns what of a record may be kept; false if nothing may.
	Admit func(formats.Record) (formats.Record, bool)
	// Done is told what came of it, once.
	Done func(ctx context.Context, records int64, failed error) error
}

// Reader reads with one consent of a person. It may be used by several goroutines.
type Reader struct {
	client *Client
	access Access
	door   Door
}

// Reader returns a reader, whose door must be there.
func (c *Client) Reader(access Access, door Door) (*Reader, error) {
	if door == nil || access.Consent == "" {
		return nil, errors.New("nothing is read at a bank without a consent, nor past the rules")
	}
	return &Reader{client: c, access: access, door: door}, nil
}

// Account is an account at a bank.
type Account struct {
	Record   formats.Record // of dataset bank, kind account
	Resource string         // what the bank calls it in its addresses; another consent may change that
	Status   string         // enabled, deleted or blocked; enabled if the bank does not say
	// Designated says that the consent is about this account: some banks list others, of which nothing may be read.
	Reference Reference
}

// Gone reports whether the bank says that the account is closed or blocked.
func (a *Account) Gone() bool { return a.Status == "deleted" || a.Status == "blocked" }

// account is an account as a bank writes it.
type account struct {
	Resource string    `json:"resourceId"`
	IBAN     string    `json:"iban"`
	BBAN     string    `json:"bban"`
	PAN      string    `json:"pan"`
	Masked   string    `json:"maskedPan"`
	MSISDN   string    `json:"msisdn"`
	Currency string    `json:"currency"`
	Name     string    `json:"name"`
	Display  string    `json:"displayName"`
	Product  string    `json:"product"`
	Type     string    `json:"cashAccountType"`
	Status   string    `json:"status"`
	BIC      string    `json:"bic"`
	Owner    string    `json:"ownerName"`
	Balances []balance `json:"balances"`
}

// Refused is something that a bank gave and that cannot be taken over.
type Refused struct {
	Native json.RawMessage // as the bank wrote it
	Why    string
}

// Accounts reads which accounts there are, with their balances if asked for. What cannot be taken over is in refused.
func (r *Reader) Accounts(ctx context.Context, balances bool) (list []Account, refused []Refused, err error) {
	asked, query := []Information{AccountList}, url.Values{}
	if balances {
		asked, query = append(asked, Balances), url.Values{"withBalance": {"true"}}
	}
	pass, err := r.door(ctx, Reading{Asked: asked, Present: r.access.Presence})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, pass.Done(ctx, int64(len(list)), err)) }()
	var got struct {
		Accounts []json.RawMessage `json:"accounts"`
	}
	q := request{did: "list the accounts", url: r.client.at("accounts"), query: query, access: r.access}
	a, err := r.client.get(ctx, q, &got)
	if err != nil {
		return nil, nil, err
	}
	if got.Accounts == nil || len(got.Accounts) > maxAccounts {
		return nil, nil, r.client.unreadable(q, a, fmt.Errorf("it lists no accounts, or more than %d", maxAccounts))
	}
	seen := map[string]bool{}
	for _, raw := range got.Accounts {
		one, faults, err := r.client.account(raw)
		refused = append(refused, faults...)
		if err != nil {
			refused = append(refused, Refused{raw, err.Error()})
			continue
		}
		if admitted, ok := pass.Admit(one.Record); ok && !seen[one.Record.ID] {
			one.Record, seen[one.Record.ID] = admitted, true
			list = append(list, one)
		}
	}
	return list, refused, nil
}

// maxAccounts is how many accounts a person has at a bank at most.
const maxAccounts = 1000

// NativeAccount and NativeOperation name the documents of the standard in records.
const (
	NativeAccount   = "berlin-group.accountDetails"
	NativeOperation = "berlin-group.transaction"
)

// account makes a record of an account. Balances that cannot be read are left out and said.
func (c *Client) account(raw json.RawMessage) (Account, []Refused, error) {
	var a account
	if err := json.Unmarshal(raw, &a); err != nil {
		return Account{}, nil, errors.New(line(err.Error(), 200))
	}
	if !isCurrency(a.Currency) {
		return Account{}, nil, fmt.Errorf("its currency %.20q is not in ISO 4217", a.Currency)
	}
	id := c.accountID(a)
	if id == "" {
		return Account{}, nil, errors.New("it has neither number nor id")
	}
	if a.Resource == "" || len(a.Resource) > maxID {
		return Account{}, nil, errors.New("it has no resourceId, so that nothing of it can be read")
	}
	body := formats.BankAccount{ResourceID: a.Resource, IBAN: compact(a.IBAN), BBAN: compact(a.BBAN), Currency: a.Currency, Name: a.Name, Product: a.Product,
		CashAccountType: a.Type, OwnerName: a.Owner, BIC: a.BIC, Institution: c.profile.Name}
	if body.Name == "" {
		body.Name = a.Display
	}
	if body.BIC == "" {
		body.BIC = c.profile.BIC
	}
	if body.BBAN == "" && body.IBAN == "" {
		body.BBAN = compact(a.Masked) // the whole number of a card is not kept: it is sensitive payment data
	}
	var refused []Refused
	body.Balances, refused = c.balances(a.Balances, raw)
	record, err := accountRecord(id, body, raw)
	ref := Reference{IBAN: body.IBAN, BBAN: compact(a.BBAN), MaskedPAN: a.Masked, Currency: a.Currency}
	return Account{Record: record, Resource: a.Resource, Status: a.Status, Reference: ref}, refused, err
}

func accountRecord(id string, body formats.BankAccount, raw json.RawMessage) (formats.Record, error) {
	text, err := json.Marshal(body)
	r := formats.Record{ID: id, Dataset: formats.Bank, Kind: formats.KindAccount, Body: text}
	if raw != nil {
		r.Native = &formats.Native{Type: NativeAccount, Document: raw}
	}
	if err == nil {
		err = formats.CheckBody(formats.KindAccount, text)
	}
	return r, err
}

// accountID is what the record of an account is called, whatever consent it was read with: by its number and currency, if it
// has one. Numbers themselves do not stand in addresses and logs.
func (c *Client) accountID(a account) string {
	number := ""
	for _, n := range []string{compact(a.IBAN), compact(a.BBAN), compact(a.PAN), compact(a.Masked), compact(a.MSISDN), a.Resource} {
		if n != "" {
			number = n
			break
		}
	}
	if number == "" {
		return ""
	}
	return "bank-" + shortHash(c.profile.ID, number, a.Currency)
}

// shortHash is 120 bits of a SHA-256 of texts.
func shortHash(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:15])
}

// compact takes white space out of a number.
func compact(s string) string { return strings.Join(strings.Fields(s), "") }

// balance is a balance as a bank writes it.
type balance struct {
	Amount  *amount `json:"balanceAmount"`
	Type    string  `json:"balanceType"`
	Day     string  `json:"referenceDate"`
	Changed string  `json:"lastChangeDateTime"`
}

func (c *Client) balances(list []balance, raw json.RawMessage) (read []formats.BankBalance, refused []Refused) {
	for _, b := range list {
		if b.Amount == nil || b.Type == "" {
			refused = append(refused, Refused{raw, "a balance has no amount or type"})
			continue
		}
		money, err := b.Amount.parse()
		if err != nil {
			refused = append(refused, Refused{raw, "a balance: " + err.Error()})
			continue
		}
		read = append(read, formats.BankBalance{BalanceAmount: money, BalanceType: b.Type, ReferenceDate: c.day(b.Day), LastChangeDateTime: c.instant(b.Changed)})
	}
	return read, refused
}

// Balances reads the balances of an account into its record.
func (r *Reader) Balances(ctx context.Context, a *Account) (refused []Refused, err error) {
	pass, err := r.door(ctx, Reading{Asked: []Information{Balances}, Accounts: []string{a.Record.ID}, Present: r.access.Presence})
	if err != nil {
		return nil, err
	}
	n := int64(0)
	defer func() { err = errors.Join(err, pass.Done(ctx, n, err)) }()
	var got struct {
		Balances []balance `json:"balances"`
	}
	q := request{did: "read the balances", url: r.client.at("accounts", a.Resource, "balances"), access: r.access}
	answer, err := r.client.get(ctx, q, &got)
	if err != nil {
		return nil, err
	}
	if got.Balances == nil {
		return nil, r.client.unreadable(q, answer, errors.New("it has no balances"))
	}
	var body formats.BankAccount
	if err := json.Unmarshal(a.Record.Body, &body); err != nil {
		return nil, err
	}
	body.Balances, refused = r.client.balances(got.Balances, answer.body)
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	fresh := a.Record
	fresh.Body = text
	if admitted, ok := pass.Admit(fresh); ok {
		a.Record, n = admitted, 1
	}
	return refused, nil
}
