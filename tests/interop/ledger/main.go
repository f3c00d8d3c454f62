// Checks keytrail ledgers with golang.org/x/mod and transparency-dev/merkle, and makes logs with them for keytrail to check.
//
//	interop check LEDGER VKEY CASES   open the checkpoint, read every tile, answer every case; JSON on stdout
//	interop make DIR SIZE             a key, a signed checkpoint, tiles, entry bundles and proofs
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// Case is one proof; Old is set for consistency proofs.
type Case struct {
	Kind  string   `json:"kind"`
	Index int64    `json:"index"`
	Old   int64    `json:"old"`
	Size  int64    `json:"size"`
	Leaf  []byte   `json:"leaf"`
	Root1 []byte   `json:"root1"`
	Root  []byte   `json:"root"`
	Proof [][]byte `json:"proof"`
}

// Answer says which implementation accepted.
type Answer struct {
	XMod   bool `json:"xmod"`
	Merkle bool `json:"merkle"`
}

func main() {
	var err error
	switch {
	case len(os.Args) == 5 && os.Args[1] == "check":
		err = check(os.Args[2], os.Args[3], os.Args[4])
	case len(os.Args) == 4 && os.Args[1] == "make":
		err = makeLog(os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("usage: interop check LEDGER VKEY CASES | interop make DIR SIZE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tilePath(folder string, t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height))
	return filepath.Join(folder, "tile", path)
}

// tiles reads c2sp.org/tlog-tiles as x/mod wants to see them.
type tiles struct{ folder string }

func (tiles) Height() int                         { return height }
func (tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (r tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, t := range wanted {
		b, err := os.ReadFile(tilePath(r.folder, t))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func openTree(folder, vkey string) (tlog.Tree, error) {
	var tree tlog.Tree
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	text, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// readAll has x/mod authenticate every level-0 hash, and compares each with its entry.
func readAll(folder string, tree tlog.Tree) error {
	reader := tlog.TileHashReader(tree, tiles{folder})
	var entries []byte
	for n := int64(0); n < tree.N; n++ {
		if n%256 == 0 {
			t := tlog.Tile{H: height, L: 0, N: n / 256, W: int(min(256, tree.N-n))}
			path := filepath.Join(folder, "tile", "entries", strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/0/", height)))
			var err error
			if entries, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		length := int(entries[0])<<8 | int(entries[1])
		entry := entries[2 : 2+length]
		entries = entries[2+length:]
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		if hashes[0] != tlog.RecordHash(entry) {
			return fmt.Errorf("entry %d is not the one in the tree", n)
		}
	}
	return nil
}

func hash(b []byte) (h tlog.Hash) { copy(h[:], b); return h }

func hashes(proof [][]byte) (list []tlog.Hash) {
	for _, b := range proof {
		list = append(list, hash(b))
	}
	return list
}

func answer(c Case) Answer {
	hasher := rfc6962.DefaultHasher
	if c.Kind == "inclusion" {
		return Answer{
			XMod:   tlog.CheckRecord(hashes(c.Proof), c.Size, hash(c.Root), c.Index, hash(c.Leaf)) == nil,
			Merkle: proof.VerifyInclusion(hasher, uint64(c.Index), uint64(c.Size), c.Leaf, c.Proof, c.Root) == nil,
		}
	}
	return Answer{
		XMod:   tlog.CheckTree(hashes(c.Proof), c.Size, hash(c.Root), c.Old, hash(c.Root1)) == nil,
		Merkle: proof.VerifyConsistency(hasher, uint64(c.Old), uint64(c.Size), c.Proof, c.Root1, c.Root) == nil,
	}
}

func check(folder, vkey, cases string) error {
	tree, err := openTree(folder, vkey)
	if err != nil {
		return err
	}
	if err := readAll(folder, tree); err != nil {
		return err
	}
	data, err := os.ReadFile(cases)
	if err != nil {
		return err
	}
	var asked []Case
	if err := json.Unmarshal(data, &asked); err != nil {
		return err
	}
	var answers []Answer
	for _, c := range asked {
		answers = append(answers, answer(c))
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"size": tree.N, "root": tree.Hash[:], "answers": answers})
}

// entry is 62 bytes in the ledger's layout, with a commitment to nothing in particular.
func entry(n int64) []byte {
	commit := sha256.Sum256([]byte(strconv.FormatInt(n, 10)))
	head := append([]byte("al1\x00\x01\x00"), make([]byte, 24)...)
	return append(head, commit[:]...)
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func makeLog(folder, sizeText string) error {
	size, err := strconv.ParseInt(sizeText, 10, 64)
	if err != nil {
		return err
	}
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
		for _, i := range indexes {
			list = append(list, stored[i])
		}
		return list, nil
	})
	bundle := []byte{}
	for n := int64(0); n < size; n++ {
		added, err := tlog.StoredHashes(n, entry(n), read)
		if err != nil {
			return err
		}
		stored = append(stored, added...)
		bundle = append(append(bundle, 0, 62), entry(n)...)
		if n%256 == 255 || n == size-1 {
			t := tlog.Tile{H: height, L: 0, N: n / 256, W: int(n%256) + 1}
			name := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/0/", height))
			if err := write(filepath.Join(folder, "tile", "entries", name), bundle); err != nil {
				return err
			}
			bundle = []byte{}
		}
	}
	for _, t := range tlog.NewTiles(height, 0, size) {
		data, err := tlog.ReadTileData(t, read)
		if err != nil {
			return err
		}
		if err := write(tilePath(folder, t), data); err != nil {
			return err
		}
	}
	return sign(folder, size, read)
}

func sign(folder string, size int64, read tlog.HashReader) error {
	root, err := tlog.TreeHash(size, read)
	if err != nil {
		return err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.org/from-go")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}
	cases, err := prove(size, root, read)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"checkpoint": signed, "vkey": []byte(vkey), "skey": []byte(skey), "cases": cases} {
		if err := write(filepath.Join(folder, name), data); err != nil {
			return err
		}
	}
	return nil
}

func list(proof []tlog.Hash) (data [][]byte) {
	for _, h := range proof {
		data = append(data, append([]byte{}, h[:]...))
	}
	return data
}

func prove(size int64, root tlog.Hash, read tlog.HashReader) ([]byte, error) {
	var cases []Case
	for n := int64(0); n < size; n += 7 {
		p, err := tlog.ProveRecord(size, n, read)
		if err != nil {
			return nil, err
		}
		leaf := tlog.RecordHash(entry(n))
		cases = append(cases, Case{Kind: "inclusion", Index: n, Size: size, Leaf: leaf[:], Root: root[:], Proof: list(p)})
		t, err := tlog.ProveTree(size, n+1, read)
		if err != nil {
			return nil, err
		}
		old, err := tlog.TreeHash(n+1, read)
		if err != nil {
			return nil, err
		}
		cases = append(cases, Case{Kind: "consistency", Old: n + 1, Size: size, Root1: old[:], Root: root[:], Proof: list(t)})
	}
	return json.Marshal(cases)
}
