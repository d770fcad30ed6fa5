// A client on mautrix-go, driven over a pipe as the one in ../rust is (see ../rust/src/protocol.rs), with the same commands and events.
//
// It syncs by v2, as bots and bridges do. It ends when its standard input does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	_ "github.com/mattn/go-sqlite3"
	_ "go.mau.fi/util/dbutil/litestream"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/cryptohelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

type request struct {
	ID         int         `json:"id"`
	Do         string      `json:"do"`
	Homeserver string      `json:"homeserver"`
	Store      string      `json:"store"`
	User       string      `json:"user"`
	Password   string      `json:"password"`
	DeviceID   id.DeviceID `json:"device_id"`
	RoomID     id.RoomID   `json:"room_id"`
	UserID     id.UserID   `json:"user_id"`
	Body       string      `json:"body"`
	Count      int         `json:"count"`
}

type shownRoom struct {
	RoomID id.RoomID `json:"room_id"`
	State  string    `json:"state"`
	Name   string    `json:"name"`
}

type shownEvent struct {
	EventID       id.EventID  `json:"event_id"`
	Sender        id.UserID   `json:"sender"`
	LocalEcho     bool        `json:"local_echo"`
	Body          string      `json:"body"`
	Encrypted     bool        `json:"encrypted"`
	Undecryptable bool        `json:"undecryptable"`
	ReadBy        []id.UserID `json:"read_by"`
}

// What is kept for `restore`; the rest is in the library's database.
type stored struct {
	UserID      id.UserID   `json:"user_id"`
	DeviceID    id.DeviceID `json:"device_id"`
	AccessToken string      `json:"access_token"`
}

type session struct {
	client *mautrix.Client
	helper *cryptohelper.CryptoHelper

	// Guards what follows: the library calls handlers from several goroutines.
	lock      sync.Mutex
	rooms     map[id.RoomID]*shownRoom
	timelines map[id.RoomID][]*shownEvent
	// Where the history before everything that was received begins.
	tokens map[id.RoomID]string
	open   id.RoomID
}

func begin(ctx context.Context, req request) (*session, error) {
	if err := os.MkdirAll(req.Store, 0o700); err != nil {
		return nil, err
	}
	client, err := mautrix.NewClient(req.Homeserver, "", "")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(req.Store, "session.json")
	if req.Do == "restore" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var known stored
		if err := json.Unmarshal(text, &known); err != nil {
			return nil, err
		}
		client.UserID, client.DeviceID, client.AccessToken = known.UserID, known.DeviceID, known.AccessToken
	} else {
		login := &mautrix.ReqLogin{
			Type:             mautrix.AuthTypePassword,
			Identifier:       mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: req.User},
			Password:         req.Password,
			DeviceID:         req.DeviceID,
			StoreCredentials: true,
		}
		if _, err := client.Login(ctx, login); err != nil {
			return nil, err
		}
		text, err := json.Marshal(stored{client.UserID, client.DeviceID, client.AccessToken})
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, err
		}
	}
	s := &session{client: client, rooms: map[id.RoomID]*shownRoom{}, timelines: map[id.RoomID][]*shownEvent{}, tokens: map[id.RoomID]string{}}
	s.helper, err = cryptohelper.NewCryptoHelper(client, []byte("of a test"), filepath.Join(req.Store, "crypto.db"))
	if err != nil {
		return nil, err
	}
	if err := s.helper.Init(ctx); err != nil {
		return nil, err
	}
	client.Crypto = s.helper
	s.listen(client.Syncer.(*mautrix.DefaultSyncer))
	return s, nil
}

func (s *session) listen(syncer *mautrix.DefaultSyncer) {
	syncer.OnSync(func(_ context.Context, resp *mautrix.RespSync, _ string) bool {
		s.lock.Lock()
		defer s.lock.Unlock()
		for roomID, room := range resp.Rooms.Join {
			s.room(roomID).State = "joined"
			if _, known := s.tokens[roomID]; !known {
				s.tokens[roomID] = room.Timeline.PrevBatch
			}
		}
		for roomID := range resp.Rooms.Invite {
			s.room(roomID).State = "invited"
		}
		s.show()
		return true
	})
	syncer.OnEventType(event.StateRoomName, func(_ context.Context, evt *event.Event) {
		s.lock.Lock()
		defer s.lock.Unlock()
		s.room(evt.RoomID).Name = evt.Content.AsRoomName().Name
		s.show()
	})
	// Of what is encrypted, too: the library decrypts it and hands it over again.
	syncer.OnEventType(event.EventMessage, func(_ context.Context, evt *event.Event) {
		s.lock.Lock()
		defer s.lock.Unlock()
		s.timelines[evt.RoomID] = append(s.timelines[evt.RoomID], describe(evt))
		s.show()
	})
	syncer.OnEventType(event.EphemeralEventReceipt, func(_ context.Context, evt *event.Event) {
		s.lock.Lock()
		defer s.lock.Unlock()
		for eventID, receipts := range *evt.Content.AsReceipt() {
			for _, shown := range s.timelines[evt.RoomID] {
				if shown.EventID != eventID {
					continue
				}
				for userID := range receipts[event.ReceiptTypeRead] {
					shown.ReadBy = append(shown.ReadBy, userID)
				}
			}
		}
		s.show()
	})
}

// The room's entry in the list; a new one is named by its id. The lock is held.
func (s *session) room(roomID id.RoomID) *shownRoom {
	room := s.rooms[roomID]
	if room == nil {
		room = &shownRoom{RoomID: roomID, Name: roomID.String()}
		s.rooms[roomID] = room
	}
	return room
}

func describe(evt *event.Event) *shownEvent {
	encrypted := evt.Mautrix.EventSource&event.SourceDecrypted != 0
	return &shownEvent{EventID: evt.ID, Sender: evt.Sender, Body: evt.Content.AsMessage().Body, Encrypted: encrypted, ReadBy: []id.UserID{}}
}

// Tells what the client knows. The lock is held.
func (s *session) show() {
	rooms := make([]*shownRoom, 0, len(s.rooms))
	for _, room := range s.rooms {
		rooms = append(rooms, room)
	}
	write(map[string]any{"event": "rooms", "rooms": rooms})
	if s.open != "" {
		events := append([]*shownEvent{}, s.timelines[s.open]...)
		write(map[string]any{"event": "timeline", "room_id": s.open, "events": events})
	}
}

// Begins to sync. The library keeps where it was, so rooms that nothing happens in are asked for.
func (s *session) start(ctx context.Context) error {
	joined, err := s.client.JoinedRooms(ctx)
	if err != nil {
		return err
	}
	s.lock.Lock()
	for _, roomID := range joined.JoinedRooms {
		s.room(roomID).State = "joined"
	}
	s.show()
	s.lock.Unlock()
	go func() {
		if err := s.client.SyncWithContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "syncing ended:", err)
			os.Exit(1)
		}
	}()
	return nil
}

// Loads earlier messages of the open room.
func (s *session) older(ctx context.Context, count int) (any, error) {
	s.lock.Lock()
	from := s.tokens[s.open]
	s.lock.Unlock()
	page, err := s.client.Messages(ctx, s.open, from, "", mautrix.DirectionBackward, nil, count)
	if err != nil {
		return nil, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	older := []*shownEvent{}
	for _, evt := range page.Chunk {
		evt.Type.Class = event.MessageEventType
		if evt.StateKey == nil && evt.Type == event.EventMessage && evt.Content.ParseRaw(evt.Type) == nil {
			older = append(older, describe(evt))
		}
	}
	slices.Reverse(older)
	s.timelines[s.open] = append(older, s.timelines[s.open]...)
	s.tokens[s.open] = page.End
	s.show()
	return map[string]bool{"reached_start": page.End == ""}, nil
}

func (s *session) run(ctx context.Context, req request) (any, error) {
	switch req.Do {
	case "start":
		return nil, s.start(ctx)
	case "open":
		s.lock.Lock()
		defer s.lock.Unlock()
		s.open = req.RoomID
		s.show()
		return nil, nil
	case "older":
		return s.older(ctx, req.Count)
	case "send":
		_, err := s.client.SendText(ctx, s.open, req.Body)
		return nil, err
	case "mark_read":
		s.lock.Lock()
		newest := s.timelines[s.open][len(s.timelines[s.open])-1].EventID
		s.lock.Unlock()
		return nil, s.client.MarkRead(ctx, s.open, newest)
	case "create_dm":
		encryption := &event.Event{
			Type:    event.StateEncryption,
			Content: event.Content{Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}},
		}
		return s.client.CreateRoom(ctx, &mautrix.ReqCreateRoom{
			Preset:       "trusted_private_chat",
			IsDirect:     true,
			Invite:       []id.UserID{req.UserID},
			InitialState: []*event.Event{encryption},
		})
	case "join":
		_, err := s.client.JoinRoomByID(ctx, req.RoomID)
		return nil, err
	}
	return nil, fmt.Errorf("unknown command %s", req.Do)
}

var output sync.Mutex

func write(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

func main() {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	var current *session
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var req request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			panic(err)
		}
		var ok any
		var err error
		if req.Do == "login" || req.Do == "restore" {
			current, err = begin(ctx, req)
			if err == nil {
				ok = map[string]any{"user_id": current.client.UserID, "device_id": current.client.DeviceID, "homeserver": req.Homeserver}
			}
		} else if current == nil {
			err = errors.New("not logged in")
		} else {
			ok, err = current.run(ctx, req)
		}
		if err != nil {
			write(map[string]any{"id": req.ID, "error": err.Error()})
		} else {
			write(map[string]any{"id": req.ID, "ok": ok})
		}
	}
	if current != nil {
		end()
		_ = current.helper.Close()
	}
}
