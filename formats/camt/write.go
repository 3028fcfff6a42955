package camt

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/url"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

const namespace = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"

// maxBody is how many bytes a body may have so that an entry with all of it can be read again.
const maxBody = maxItem / 4

// unknownNumber stands where the standard wants an account's number and there is none.
const unknownNumber = "NOTPROVIDED"

// book is what is written: the statements, and what of their accounts stands at the end.
type book struct {
	pile       pile
	statements []*statement
	of         map[string]*statement // by the id of the account's record; "" for operations without an account
	sum        hash.Hash             // of all that was added
	newest     time.Time             // of the records' times
	newestDay  string                // of the operations' days
}

// statement is what is written of one account.
type statement struct {
	stack
	head   []byte // Acct and Bal
	beside aside
}

// write walks the records once and writes nothing if there are neither accounts nor operations.
func write(w io.Writer, records formats.Records) (err error) {
	b := &book{of: map[string]*statement{}, sum: sha256.New()}
	defer func() { err = b.pile.close(err) }()
	for r, err := range records {
		if err != nil {
			return err
		}
		if err := b.add(&r); err != nil {
			return err
		}
	}
	if len(b.statements) == 0 {
		return nil
	}
	return b.write(w)
}

func (b *book) add(r *formats.Record) error {
	if r.Dataset != formats.Bank || !r.Deleted.IsZero() || len(r.Body) == 0 {
		return nil
	}
	switch r.Kind {
	case formats.KindAccount:
		return b.account(r)
	case formats.KindOperation:
		return b.operation(r)
	}
	return nil
}

func (b *book) account(r *formats.Record) error {
	account, err := formats.BodyAs[formats.BankAccount](*r)
	if err != nil {
		return err
	}
	var x writer
	writeAccount(&x, r.ID, account)
	writeBalances(&x, account.Balances, r.Modified)
	back, err := parse(x.buf.Bytes())
	if err != nil {
		return fmt.Errorf("account %q: %w", r.ID, err)
	}
	beside, err := asideOf(r, readAccount(back), nil)
	if err != nil || len(r.Body) > maxBody {
		return err
	}
	s := b.statement(r.ID)
	beside.Statement = s.beside.Statement
	s.head, s.beside = x.buf.Bytes(), beside
	b.note(r, s.head)
	return nil
}

func (b *book) operation(r *formats.Record) error {
	op, err := formats.BodyAs[formats.BankOperation](*r)
	if err != nil {
		return err
	}
	amount, ok := holdable(op.TransactionAmount.Amount)
	if !ok || len(r.Body) > maxBody {
		return nil
	}
	account := accountOf(r)
	beside, err := besideEntry(r, &op, amount, account)
	if err != nil {
		return err
	}
	var x writer
	if err := writeEntry(&x, &op, amount, &beside); err != nil {
		return err
	}
	x.raw("\n")
	b.note(r, x.buf.Bytes())
	b.newestDay = max(b.newestDay, dayOf(op.BookingDate), dayOf(op.ValueDate))
	return b.pile.add(&b.statement(account).stack, x.buf.Bytes())
}

// besideEntry returns what an entry without SplmtryData does not say of an operation.
func besideEntry(r *formats.Record, op *formats.BankOperation, amount, account string) (aside, error) {
	var x writer
	if err := writeEntry(&x, op, amount, nil); err != nil {
		return aside{}, err
	}
	back, err := parse(x.buf.Bytes())
	if err != nil {
		return aside{}, fmt.Errorf("operation %q: %w", r.ID, err)
	}
	read, err := readEntry(back.at("Ntry"), "")
	if err != nil {
		return aside{}, fmt.Errorf("operation %q: %w", r.ID, err)
	}
	return asideOf(r, read[0].op, linksTo(account))
}

// accountOf returns the id of the account to which an operation belongs.
func accountOf(r *formats.Record) string {
	for _, l := range r.Links {
		if l.Rel == relAccount && l.Dataset == formats.Bank {
			return l.ID
		}
	}
	return ""
}

func linksTo(account string) []formats.Link {
	return []formats.Link{{Rel: relAccount, Dataset: formats.Bank, ID: account}}
}

// statement returns the statement of an account, which is only named until its record comes.
func (b *book) statement(account string) *statement {
	s := b.of[account]
	if s == nil {
		var x writer
		writeAccount(&x, account, formats.BankAccount{})
		s = &statement{head: x.buf.Bytes(), beside: aside{ID: account, Statement: len(b.statements) + 1, Absent: true}}
		b.of[account] = s
		b.statements = append(b.statements, s)
		b.pile.stacks = append(b.pile.stacks, &s.stack)
	}
	return s
}

func (b *book) note(r *formats.Record, text []byte) {
	b.sum.Write(text)
	for _, t := range []time.Time{r.Created, r.Modified} {
		if t.After(b.newest) {
			b.newest = t
		}
	}
}

// time returns when the message was made: when what it says was last changed.
func (b *book) time() string {
	t := b.newest
	if t.IsZero() {
		t, _ = time.Parse(time.DateOnly, max(b.newestDay, "1970-01-01"))
	}
	return t.UTC().Format(time.RFC3339)
}

func (b *book) write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var x writer
	x.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"" + namespace + "\">\n<BkToCstmrStmt>\n")
	x.in("GrpHdr", func() {
		x.leaf("MsgId", hex.EncodeToString(b.sum.Sum(nil))[:32])
		x.leaf("CreDtTm", b.time())
	})
	x.raw("\n")
	for n, s := range b.statements {
		x.raw("<Stmt>")
		x.leaf("Id", b.statementID(n))
		x.leaf("CreDtTm", b.time())
		x.raw("\n")
		x.buf.Write(s.head)
		x.raw("\n")
		if err := x.flush(out); err != nil {
			return err
		}
		if err := b.pile.copy(out, &s.stack); err != nil {
			return err
		}
		x.raw("</Stmt>\n")
	}
	for n, s := range b.statements {
		if err := s.beside.write(&x, fmt.Sprintf("/Document/BkToCstmrStmt/Stmt[%d]/Acct", n+1)); err != nil {
			return err
		}
		x.raw("\n")
		if err := x.flush(out); err != nil {
			return err
		}
	}
	x.raw("</BkToCstmrStmt>\n</Document>\n")
	if err := x.flush(out); err != nil {
		return err
	}
	return out.Flush()
}

// statementID returns an id for the nth statement that no other message gives.
func (b *book) statementID(n int) string {
	sum := sha256.Sum256(fmt.Appendf(b.sum.Sum(nil), "%d", n))
	return hex.EncodeToString(sum[:])[:32]
}

func (x *writer) flush(w io.Writer) error {
	_, err := x.buf.WriteTo(w)
	return err
}

// writeAccount writes Acct.
func writeAccount(x *writer, id string, a formats.BankAccount) {
	x.in("Acct", func() {
		writeNumber(x, a.IBAN, a.BBAN, fit(id, 34), unknownNumber)
		x.path(matching(codeForm, a.CashAccountType), "Tp", "Cd")
		x.leaf("Ccy", matching(currencyForm, a.Currency))
		x.leaf("Nm", fit(a.Name, 70))
		if id != "" {
			x.in("Prxy", func() {
				x.path(ownProxy, "Tp", "Prtry")
				x.leaf("Id", url.PathEscape(id))
			})
		}
		x.path(fit(a.OwnerName, 140), "Ownr", "Nm")
		x.in("Svcr", func() {
			x.in("FinInstnId", func() {
				x.leaf("BICFI", matching(bicForm, a.BIC))
				x.leaf("Nm", fit(a.Institution, 140))
			})
		})
	})
}

// writeNumber writes Id with the IBAN or else the first of the other numbers; nothing if there is none.
func writeNumber(x *writer, iban string, others ...string) {
	x.in("Id", func() {
		if ibanForm.MatchString(iban) {
			x.leaf("IBAN", iban)
			return
		}
		for _, number := range others {
			if number = fit(number, 34); number != "" {
				x.path(number, "Othr", "Id")
				return
			}
		}
	})
}

// writeBalances writes Bal. Changed is when the account's record changed.
func writeBalances(x *writer, balances []formats.BankBalance, changed time.Time) {
	for _, b := range balances {
		amount, ok := holdable(b.BalanceAmount.Amount)
		day := dayOf(b.ReferenceDate)
		if len(b.LastChangeDateTime) > 10 && day == "" {
			day = dayOf(b.LastChangeDateTime[:10])
		}
		if day == "" && !changed.IsZero() {
			day = dayOf(changed.UTC().Format(time.DateOnly))
		}
		code, isCode := balanceCode(b.BalanceType)
		name := fit(b.BalanceType, 35)
		if !ok || day == "" || name == "" {
			continue
		}
		x.raw("\n")
		x.in("Bal", func() {
			if isCode {
				x.path(code, "Tp", "CdOrPrtry", "Cd")
			} else {
				x.path(name, "Tp", "CdOrPrtry", "Prtry")
			}
			x.money(b.BalanceAmount, amount)
			x.path(day, "Dt", "Dt")
		})
	}
}
