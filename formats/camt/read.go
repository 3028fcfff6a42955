package camt

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxHeads is how many bytes the heads of all statements of a file may have together: they are held until its end.
const maxHeads = 16 << 20

// message is a file that is read.
type message struct {
	*parser
	yield    func(formats.Record, error) bool
	format   string // "camt.053.001.08"
	entries  int    // read so far, for messages
	heads    int    // bytes of what accounts holds
	accounts map[string]*account
	order    []*account
	here     []*account // of the statements of this message, in turn
}

// account is an account of which statements were read.
type account struct {
	id       string
	body     formats.BankAccount
	currency string // if body has none
	native   *formats.Native
	beside   aside
	own      bool // beside is set
}

func read(r io.Reader) formats.Records {
	file := formats.NewReread(r)
	return func(yield func(formats.Record, error) bool) {
		m := message{yield: yield, accounts: map[string]*account{}}
		in, err := file.Open()
		if err == nil {
			err = m.read(in)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(formats.Record{}, err)
		}
	}
}

// give hands a record on.
func (m *message) give(r formats.Record) error {
	if err := r.Validate(); err != nil {
		return m.fault("%v", err)
	}
	if !m.yield(r, nil) {
		return errStopped
	}
	return nil
}

var errStopped = errors.New("nobody reads on")

func (m *message) read(in io.Reader) error {
	src, err := newSource(in)
	if err != nil {
		return err
	}
	if _, err := src.in.Peek(1); errors.Is(err, io.EOF) {
		return nil
	}
	m.parser = newParser(src)
	root := ""
	for {
		start, _, end, err := m.next()
		switch {
		case errors.Is(err, io.EOF) && len(m.order) > 0:
			return m.giveAccounts()
		case errors.Is(err, io.EOF):
			return m.fault("there is no statement in it: a camt.052, camt.053 or camt.054 file is wanted, this one is %q", clip(root))
		case err != nil:
			return err
		case end:
			continue
		}
		root = cmp.Or(root, start.Name.Local)
		if kind := messageKind(start.Name.Local); kind != "" {
			m.format = cmp.Or(matching(messageForm, strings.TrimPrefix(start.Name.Space, "urn:iso:std:iso:20022:tech:xsd:")), kind)
			if err := m.body(); err != nil {
				return err
			}
		}
	}
}

// messageForm is that of a message's name with its version.
var messageForm = regexp.MustCompile(`^camt\.[0-9]{3}\.[0-9]{3}\.[0-9]{2}$`)

// messageKind returns which message an element is the body of, or "".
func messageKind(name string) string {
	switch name {
	case "BkToCstmrAcctRpt":
		return "camt.052"
	case "BkToCstmrStmt":
		return "camt.053"
	case "BkToCstmrDbtCdtNtfctn":
		return "camt.054"
	}
	return ""
}

// body reads what is in a message.
func (m *message) body() error {
	m.here = nil
	for {
		start, at, end, err := m.next()
		if err != nil || end {
			return m.cut(err)
		}
		switch start.Name.Local {
		case "Stmt", "Rpt", "Ntfctn":
			if err := m.statement(); err != nil {
				return err
			}
			continue
		}
		n, err := m.element(start, at)
		if err != nil {
			return err
		}
		if n.name == "SplmtryData" {
			if err := m.besideAccount(n); err != nil {
				return err
			}
		}
	}
}

// cut makes an end of the file that should not be here an error.
func (m *message) cut(err error) error {
	if errors.Is(err, io.EOF) {
		return m.fault("the file ends within a statement; it was cut off: get it again")
	}
	return err
}

// besideAccount reads what stands at the end of a message of ours about an account.
func (m *message) besideAccount(n *node) error {
	beside, ok, err := readAside(&node{children: []*node{n}})
	if err != nil || !ok {
		return err
	}
	if beside.Statement < 1 || beside.Statement > len(m.here) {
		return n.fault("SplmtryData is about statement %d; there are %d before it", beside.Statement, len(m.here))
	}
	a := m.here[beside.Statement-1]
	a.beside, a.own = beside, true
	return nil
}

// reading is a statement that is read.
type reading struct {
	head     *node  // Acct and Bal
	nodes    int    // of head
	raw      []byte // text of all but the entries
	id       string // of the account's record; "" until it is known
	body     formats.BankAccount
	currency string
	taken    map[uint64]int // how often an id was given, by its hash
}

func (m *message) statement() error {
	s := reading{head: &node{}, taken: map[uint64]int{}}
	for {
		start, at, end, err := m.next()
		if err != nil {
			return m.cut(err)
		}
		if end {
			return m.endStatement(&s)
		}
		n, err := m.element(start, at)
		if err != nil {
			return err
		}
		if n.name == "Ntry" {
			if err := m.entry(&s, n); err != nil {
				return err
			}
			continue
		}
		if err := m.addToHead(&s, n); err != nil {
			return err
		}
	}
}

func (m *message) addToHead(s *reading, n *node) error {
	if n.name == "Acct" || n.name == "Bal" {
		s.head.children = append(s.head.children, n)
		s.nodes += m.nodes
	}
	s.raw = append(s.raw, m.src.text(n.from, n.to)...)
	if m.heads += int(n.to - n.from); m.heads > maxHeads || s.nodes > maxNodes {
		return m.fault("what stands around the entries of all statements has more than %d MiB, or of one more than %d elements", maxHeads>>20, maxNodes)
	}
	return nil
}

// identify finds out which account the statement is of.
func (m *message) identify(s *reading, currency string) error {
	if s.id != "" {
		return nil
	}
	if s.head.at("Acct") == nil {
		return m.fault("a statement does not say which account it is of (Acct) before its entries")
	}
	s.body = readAccount(s.head)
	s.currency = cmp.Or(s.body.Currency, currency, noCurrency)
	number := cmp.Or(s.body.IBAN, s.body.BBAN)
	if number == "" {
		return m.fault("a statement does not say the number of its account (Acct/Id)")
	}
	s.id = usable(number + "-" + s.currency)
	if p := s.head.at("Acct", "Prxy"); p.get("Tp", "Prtry") == ownProxy {
		if id, err := url.PathUnescape(p.get("Id")); err == nil {
			s.id = usable(id)
		}
	}
	return nil
}

// usable returns id, or a hash of it if it cannot be a record's id.
func usable(id string) string {
	r := formats.Record{ID: id + "#999999999", Dataset: formats.Bank, Kind: formats.KindAccount}
	if id == "" || r.Validate() != nil {
		return formats.HashOf([]byte(id)).String()[:32]
	}
	return id
}

func (m *message) endStatement(s *reading) error {
	if err := m.identify(s, ""); err != nil {
		return err
	}
	a := m.accounts[s.id]
	if a == nil {
		a = &account{id: s.id}
		m.accounts[s.id] = a
		m.order = append(m.order, a)
	}
	m.here = append(m.here, a)
	if newestDay(s.body.Balances) < newestDay(a.body.Balances) {
		return nil
	}
	document, err := formats.MarshalBody(map[string]string{"Stmt": string(s.raw)})
	if err != nil {
		return err
	}
	a.body, a.currency = merged(s.body, a.body), s.currency
	a.native = &formats.Native{Type: m.format, Document: document}
	return nil
}

// merged returns the account as a newer statement says it, with what only an older one said.
func merged(newer, older formats.BankAccount) formats.BankAccount {
	newer.Name = cmp.Or(newer.Name, older.Name)
	newer.CashAccountType = cmp.Or(newer.CashAccountType, older.CashAccountType)
	newer.OwnerName = cmp.Or(newer.OwnerName, older.OwnerName)
	newer.BIC = cmp.Or(newer.BIC, older.BIC)
	newer.Institution = cmp.Or(newer.Institution, older.Institution)
	if len(newer.Balances) == 0 {
		newer.Balances = older.Balances
	}
	return newer
}

// newestDay returns the newest day of balances, or "".
func newestDay(balances []formats.BankBalance) string {
	newest := ""
	for _, b := range balances {
		newest = max(newest, b.ReferenceDate)
	}
	return newest
}

// giveAccounts hands the accounts on. They come last because a newer statement may follow, and because what we write
// about them beside the standard stands at the end.
func (m *message) giveAccounts() error {
	for _, a := range m.order {
		if a.own && a.beside.Absent {
			continue
		}
		r, err := a.record()
		if err != nil {
			return m.fault("account %q: %v", a.id, err)
		}
		if err := m.give(r); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) record() (formats.Record, error) {
	r := formats.Record{ID: a.id, Dataset: formats.Bank, Kind: formats.KindAccount}
	if !a.own {
		a.body.Currency = cmp.Or(a.body.Currency, a.currency)
		r.Native = a.native
	}
	var err error
	if r.Body, err = formats.MarshalBody(a.body); err == nil && a.own {
		err = a.beside.apply(&r)
	}
	return r, err
}

// entry hands the operations of an entry on.
func (m *message) entry(s *reading, n *node) error {
	m.entries++
	if err := m.identify(s, n.at("Amt").ccy()); err != nil {
		return err
	}
	operations, err := readEntry(n, s.currency)
	if err != nil {
		return fmt.Errorf("entry %d: %w", m.entries, err)
	}
	for i, o := range operations {
		r, err := m.operation(s, n, i, &o, len(operations))
		if err != nil {
			return fmt.Errorf("entry %d: %w", m.entries, err)
		}
		if err := m.give(r); err != nil {
			return err
		}
	}
	return nil
}

// operation makes the record of the ith of some operations of an entry.
func (m *message) operation(s *reading, n *node, i int, o *operation, of int) (formats.Record, error) {
	body, err := formats.MarshalBody(o.op)
	if err != nil {
		return formats.Record{}, err
	}
	r := formats.Record{Dataset: formats.Bank, Kind: formats.KindOperation, Links: linksTo(s.id), Body: body}
	beside, own, err := readAside(o.details)
	if err != nil {
		return r, err
	}
	if own {
		return r, beside.apply(&r)
	}
	r.ID = s.newID(o, body)
	document := map[string]string{"Ntry": string(m.src.text(n.from, n.to))}
	switch {
	case of > 1 && i == 0:
		document["Ntry"] = m.without(n, o.details)
	case of > 1:
		document = map[string]string{"TxDtls": string(m.src.text(o.details.from, o.details.to))}
	}
	r.Native = &formats.Native{Type: m.format}
	r.Native.Document, err = formats.MarshalBody(document)
	return r, err
}

// without returns the text of an entry without the transactions other than one: each has its own record.
func (m *message) without(n, but *node) string {
	var text strings.Builder
	at := n.from
	for _, t := range transactions(n) {
		if t != but {
			text.Write(m.src.text(at, t.from))
			at = t.to
		}
	}
	text.Write(m.src.text(at, n.to))
	return text.String()
}

// newID returns an id for an operation of the statement.
func (s *reading) newID(o *operation, body []byte) string {
	what := o.reference
	if what == "" {
		what = formats.HashOf(slices.Concat([]byte(s.id), []byte{0}, body)).String()[:32]
	}
	id := usable(s.id + ":" + what)
	sum := sha256.Sum256([]byte(id))
	key := binary.BigEndian.Uint64(sum[:])
	if s.taken[key]++; s.taken[key] > 1 {
		return fmt.Sprintf("%s#%d", id, s.taken[key])
	}
	return id
}
