package bankcsv

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/passerelle-cloud/passerelle/formats"
)

func TestForeign(t *testing.T) {
	euros := func(d formats.Decimal) formats.Amount { return formats.Amount{Currency: "EUR", Amount: d} }
	for _, c := range []struct {
		name, text string
		want       []formats.BankOperation
	}{
		{
			"French, two columns, lines before the header",
			"Compte courant n° 00012345;;;;\nSolde au 28/02/2026;1 234,56;EUR;;\n\nDate de comptabilisation;Libelle simplifie;Libelle operation;Debit;Credit;Date operation;Date de valeur;Solde\n" +
				"27/02/2026;EDF;PRLV SEPA EDF;-1 234,50;;26/02/2026;28/02/2026;0,00\n01/03/26;PAIE;VIR SALAIRE;;\"+2.000,00\";01/03/26;01/03/26;\n\nTotal;;;;;;;\n",
			[]formats.BankOperation{
				{BookingDate: "2026-02-27", ValueDate: "2026-02-28", TransactionDate: "2026-02-26", TransactionAmount: formats.Amount{Currency: "XXX", Amount: "-1234.50"}, Remittance: "PRLV SEPA EDF", AdditionalInfo: "EDF", Status: "booked"},
				{BookingDate: "2026-03-01", ValueDate: "2026-03-01", TransactionDate: "2026-03-01", TransactionAmount: formats.Amount{Currency: "XXX", Amount: "2000.00"}, Remittance: "VIR SALAIRE", AdditionalInfo: "PAIE", Status: "booked"},
			},
		},
		{
			"French, one column",
			"Date;Libellé;Montant(EUROS);Référence\n31/12/2025;CB \"CHEZ PAUL\" 12/30;-5;'=A\n",
			[]formats.BankOperation{{BookingDate: "2025-12-31", TransactionAmount: euros("-5"), Remittance: `CB "CHEZ PAUL" 12/30`, EntryReference: "=A", Status: "booked"}},
		},
		{
			"German",
			"\"Auftragskonto\";\"Buchungstag\";\"Valutadatum\";\"Buchungstext\";\"Verwendungszweck\";\"Glaeubiger ID\";\"Mandatsreferenz\";\"Beguenstigter/Zahlungspflichtiger\";\"Kontonummer/IBAN\";\"Betrag\";\"Waehrung\";\"Info\"\n" +
				"\"DE1\";\"05.01.26\";\"06.01.26\";\"LASTSCHRIFT\";\"Strom\";\"DE98ZZZ\";\"M1\";\"Stadtwerke\";\"DE02120300000000202051\";\"-1.234,5\";\"EUR\";\"Umsatz vorgemerkt\"\n",
			[]formats.BankOperation{{
				BookingDate: "2026-01-05", ValueDate: "2026-01-06", ProprietaryCode: "LASTSCHRIFT", Remittance: "Strom", CreditorID: "DE98ZZZ", MandateID: "M1",
				CreditorName: "Stadtwerke", CreditorAccount: &formats.BankReference{IBAN: "DE02120300000000202051"}, TransactionAmount: euros("-1234.5"), Status: "pending",
			}},
		},
		{
			"American",
			"Posted Date,Reference,Payee,Amount,Balance\n01/31/2026,1,Shop,\"-1,234.00\",\n02/01/2026,2,Work,$5.00,\n",
			[]formats.BankOperation{
				{BookingDate: "2026-01-31", EntryReference: "1", CreditorName: "Shop", TransactionAmount: formats.Amount{Currency: "XXX", Amount: "-1234.00"}, Status: "booked"},
				{BookingDate: "2026-02-01", EntryReference: "2", DebtorName: "Work", TransactionAmount: formats.Amount{Currency: "XXX", Amount: "5.00"}, Status: "booked"},
			},
		},
		{
			"a column for the direction",
			"Datum\tBetrag\tSoll/Haben\tWährung\n2026-01-02\t1,00\tS\tEUR\n20260103\t1,00\tH\tEUR\n",
			[]formats.BankOperation{{BookingDate: "2026-01-02", TransactionAmount: euros("-1.00"), Status: "booked"}, {BookingDate: "2026-01-03", TransactionAmount: euros("1.00"), Status: "booked"}},
		},
		{
			"zero in the other column",
			"date|debit|credit|currency\n2026-01-02|0.00|9007199254740993.10|eur\n2026-01-02|7|0.00|EUR\n2026-01-02|0.00|0.00|EUR",
			[]formats.BankOperation{
				{BookingDate: "2026-01-02", TransactionAmount: euros("9007199254740993.10"), Status: "booked"},
				{BookingDate: "2026-01-02", TransactionAmount: euros("-7"), Status: "booked"},
				{BookingDate: "2026-01-02", TransactionAmount: euros("0.00"), Status: "booked"},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			windows, err := charmap.Windows1252.NewEncoder().String(c.text)
			if err != nil {
				t.Fatal(err)
			}
			wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(c.text)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{c.text, "\ufeff" + c.text, windows, wide, strings.ReplaceAll(c.text, "\n", "\r\n")} {
				list := decode(t, Codec(), text)
				if len(list) != len(c.want) {
					t.Fatalf("%d operations: %+v", len(list), list)
				}
				for i, r := range list {
					if !sameJSON(t, r.Body, body(t, c.want[i])) {
						t.Errorf("body:\n got %s\nwant %s", r.Body, body(t, c.want[i]))
					}
					if err := formats.CheckBody(r.Kind, r.Body); err != nil {
						t.Error(err)
					}
					if r.Native == nil || r.Native.Type != "text/csv" || len(r.Links) > 0 {
						t.Errorf("record: %+v", r)
					}
				}
			}
		})
	}
}

func TestForeignNative(t *testing.T) {
	r := decode(t, Codec(), "date,amount,Points,,Points\n2026-01-02,1.50,007,x,'=y,extra\n")[0]
	want := `{"date":"2026-01-02","amount":"1.50","Points":"007","column 4":"x","column 5":"'=y","column 6":"extra"}`
	if !sameJSON(t, r.Native.Document, json.RawMessage(want)) {
		t.Errorf("native: %s", r.Native.Document)
	}
}

// A column that somebody added to our table survives; the rest is as it was.
func TestColumnAdded(t *testing.T) {
	want := operations(t)[4:]
	lines := strings.Split(strings.TrimSuffix(encode(t, Codec(), want), "\r\n"), "\r\n")
	list := decode(t, Codec(), lines[0]+",my note\r\n"+lines[1]+",hello\r\n")
	want[0].Native = &formats.Native{Type: "text/csv", Document: json.RawMessage(`{"my note":"hello"}`)}
	same(t, list, want)
}

// A spreadsheet saved our table in French: semicolons, decimal commas, days the other way round.
func TestSavedInFrench(t *testing.T) {
	want := operations(t)[:1]
	want[0].Body = json.RawMessage(`{"bookingDate":"2026-02-27","transactionAmount":{"currency":"EUR","amount":"-1234.50"},"remittanceInformationUnstructured":"a"}`)
	table, err := csv.NewReader(strings.NewReader(encode(t, Codec(), want))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, cell := range table[1] {
		table[1][i] = strings.NewReplacer("2026-02-27", "27/02/2026", "-1234.50", "-1234,50").Replace(cell)
	}
	var text strings.Builder
	out := csv.NewWriter(&text)
	out.Comma = ';'
	if err := out.WriteAll(table); err != nil {
		t.Fatal(err)
	}
	same(t, decode(t, Codec(), text.String()), want)
}

func TestForeignIDs(t *testing.T) {
	const text = "date,amount,id\n2026-01-02,1,\n2026-01-02,1,\n2026-01-02,2,\n2026-01-02,2,T7\n2026-01-02,2,T7\n"
	ids := func() (ids []string) {
		for _, r := range decode(t, Codec(), text) {
			ids = append(ids, r.ID)
		}
		return ids
	}
	got := ids()
	if got[1] != got[0]+"#2" || got[2] == got[0] || got[3] != "T7" || got[4] != "T7#2" {
		t.Errorf("ids %v", got)
	}
	if again := ids(); fmt.Sprint(got) != fmt.Sprint(again) {
		t.Errorf("another time %v", again)
	}
}

func TestForeignAccounts(t *testing.T) {
	list := decode(t, AccountsCodec(), "Banque;IBAN;Intitulé;Devise;Solde\nExemple;FR76 9999 9000;Courant;EUR;1\n")
	want := []formats.Record{{
		ID: "FR7699999000-EUR", Dataset: formats.Bank, Kind: formats.KindAccount,
		Body:   body(t, formats.BankAccount{IBAN: "FR7699999000", Currency: "EUR", Name: "Courant", Institution: "Exemple"}),
		Native: &formats.Native{Type: "text/csv", Document: json.RawMessage(`{"Banque":"Exemple","Devise":"EUR","IBAN":"FR76 9999 9000","Intitulé":"Courant","Solde":"1"}`)},
	}}
	same(t, list, want)
}

func TestDamaged(t *testing.T) {
	own := encode(t, Codec(), operations(t)[4:])
	for _, c := range []struct{ name, text, want string }{
		{"no header", "hello,world\n1,2\n", "no row names the columns"},
		{"not a table", "%PDF-1.4\n%âãÏÓ", "no row names the columns"},
		{"zero bytes", "date,amount\n\x00", "line 2: there is a zero byte"},
		{"no amount", "date,amount\n2026-01-02,\n", "line 2: invalid: there is no amount"},
		{"not an amount", "date,amount\n2026-01-02,1.50\n2026-01-03,lots\n", `line 3: invalid: "lots" is not an amount`},
		{"two decimal signs", "date;amount\n2026-01-02;1,50\n2026-01-03;1.50\n", "line 3: invalid: \"1.50\" is not an amount with the decimals"},
		{"grouped wrongly", "date,amount\n2026-01-02,\"1,50.20\"\n", "is not an amount"},
		{"no day", "date,amount\nTotal,1.50\n", `line 2: invalid: "Total" is not a day`},
		{"empty day", "date,amount\n,1.50\n", "no day"},
		{"no such day", "date,amount\n30/02/2026,1.50\n", `"30/02/2026" is not a day`},
		{"days and months", "date,amount\n30/01/2026,1\n01/30/2026,1\n", "line 3"},
		{"no currency", "date,amount,currency\n2026-01-02,1,pesos\n", `the currency "pesos" is no ISO 4217 code`},
		{"both", "date,debit,credit\n2026-01-02,1,2\n", "both a debit and a credit"},
		{"quotation mark without end", "date,amount\n2026-01-02,1\n2026-01-03,\"2\n", "line 3: the quoted cell that begins on line 3 has no proper end"},
		{"cut off", own[:len(own)-30], "the file was cut off"},
		{"own times", strings.Replace(own, "2026-03-01T", "2026-13-01T", 1), "column created"},
		{"own patch", own + "op9,,,,,1" + strings.Repeat(",", 24) + "{\r\n", "column other"},
		{"long", "date,amount\n2026-01-02,\"" + strings.Repeat("1", 2*maxRow) + "\"\n", "more than 8 MiB"},
		{"long name", "date,amount," + strings.Repeat("x", 201) + "\n", "the header is too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := collect(Codec().Decode(strings.NewReader(c.text)))
			if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range []struct {
		text string
		sign byte
		want formats.Decimal
	}{
		{"1", '.', "1"}, {"-0.10", '.', "-0.10"}, {"-0,00", ',', "0.00"}, {"1.234", '.', "1.234"}, {"1.234", ',', "1234"}, {"1,234", '.', "1234"},
		{"1.234.567,8", ',', "1234567.8"}, {"1'234.50", '.', "1234.50"}, {"1\u202f234,50\u00a0€", ',', "1234.50"}, {"12,50-", ',', "-12.50"},
		{"(12.50)", '.', "-12.50"}, {"\u221212", '.', "-12"}, {"-€12", '.', "-12"}, {"EUR 12", '.', "12"}, {"12 CHF", '.', "12"}, {".5", '.', "0.5"},
		{"5.", '.', "5"}, {"9007199254740993", '.', "9007199254740993"}, {"+1", '.', "1"}, {"007", '.', "007"},
	} {
		n, err := takeNumber(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got, err := n.decimal(c.sign); got != c.want || err != nil {
			t.Errorf("%q with %q: %q, %v; want %q", c.text, c.sign, got, err, c.want)
		}
	}
	for _, text := range []string{"--1", "1-2", "1a", "1e5", "€", "-", "1..2", "1,,2", "0x10", "½", "١"} {
		if n, err := takeNumber(text); err == nil {
			if d, err := n.decimal('.'); err == nil {
				t.Errorf("%q is read as %q", text, d)
			}
		}
	}
}
