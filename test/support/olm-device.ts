/** A device with real end-to-end encryption (the Rust SDK's crypto), fed from sync v3 answers. */

import "fake-indexeddb/auto";
import {
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionSettings,
  initAsync,
  OlmMachine,
  RequestType,
  RoomId,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { TestUser } from "./synapse-api.ts";
import type { Answer } from "./v3.ts";

type Outgoing = Awaited<ReturnType<OlmMachine["outgoingRequests"]>>[number];

export class OlmDevice {
  readonly user: TestUser;
  readonly machine: OlmMachine;

  private constructor(user: TestUser, machine: OlmMachine) {
    this.user = user;
    this.machine = machine;
  }

  /** Opens (or makes) the device's keys in the store of that name. */
  static async open(user: TestUser, storeName: string): Promise<OlmDevice> {
    await initAsync();
    const machine = await OlmMachine.initialize(new UserId(user.userId), new DeviceId(user.deviceId), storeName);
    return new OlmDevice(user, machine);
  }

  /** Sends what the machine has to send: key uploads, queries, claims, to-device messages. */
  async pump(): Promise<void> {
    for (let requests = await this.machine.outgoingRequests(); requests.length > 0; requests = await this.machine.outgoingRequests()) {
      for (const request of requests) await this.#send(request);
    }
  }

  /** How many uploads of keys it has to send now. */
  async keyUploads(): Promise<number> {
    return (await this.machine.outgoingRequests()).filter((request) => request.type === RequestType.KeysUpload).length;
  }

  /** Gives the e2ee and to_device streams of an answer to the machine; what the messages were, decrypted. */
  async receive(answer: Answer): Promise<unknown[]> {
    const lists = answer["e2ee"]?.device_lists ?? { changed: [], left: [] };
    const users = (ids: string[]) => ids.map((id) => new UserId(id));
    const counts = new Map<string, number>(Object.entries(answer["e2ee"]?.device_one_time_keys_count ?? {}));
    const unused: string[] | undefined = answer["e2ee"]?.device_unused_fallback_key_types;
    const events = JSON.stringify(answer["to_device"]?.events ?? []);
    const changes = new DeviceLists(users(lists.changed), users(lists.left));
    const processed = await this.machine.receiveSyncChangesMsc4186(events, changes, counts, unused && new Set(unused));
    return processed.map((event) => ("rawEvent" in event ? (JSON.parse(event.rawEvent) as unknown) : event));
  }

  /** Encrypts for all devices of the members and sends; the event's id. */
  async sendEncrypted(roomId: string, members: readonly string[], body: string): Promise<string> {
    const users = () => members.map((member) => new UserId(member));
    await this.machine.updateTrackedUsers(users());
    await this.pump();
    const claim = await this.machine.getMissingSessions(users());
    if (claim) await this.#send(claim);
    for (const request of await this.machine.shareRoomKey(new RoomId(roomId), users(), new EncryptionSettings())) await this.#send(request);
    const content = JSON.stringify({ msgtype: "m.text", body });
    const encrypted = JSON.parse(await this.machine.encryptRoomEvent(new RoomId(roomId), "m.room.message", content)) as Record<string, unknown>;
    return this.user.send(roomId, encrypted, "m.room.encrypted");
  }

  /** The decrypted event. Throws where the key is missing. */
  async decrypt(event: { room_id: string }): Promise<{ content: { body: string } }> {
    const settings = new DecryptionSettings(TrustRequirement.Untrusted);
    const decrypted = await this.machine.decryptRoomEvent(JSON.stringify(event), new RoomId(event.room_id), settings);
    return JSON.parse(decrypted.event) as { content: { body: string } };
  }

  close(): void {
    this.machine.close();
  }

  async #send(request: Outgoing): Promise<void> {
    const response = await this.#call(request);
    if (request.id !== undefined) await this.machine.markRequestAsSent(request.id, request.type, JSON.stringify(response));
  }

  #call(request: Outgoing): Promise<unknown> {
    const body = JSON.parse(request.body) as Record<string, unknown>;
    switch (request.type) {
      case RequestType.KeysUpload:
        return this.user.call("POST", "/keys/upload", body);
      case RequestType.KeysQuery:
        return this.user.call("POST", "/keys/query", body);
      case RequestType.KeysClaim:
        return this.user.call("POST", "/keys/claim", body);
      case RequestType.ToDevice: {
        const { event_type, txn_id } = request as Outgoing & { event_type: string; txn_id: string };
        return this.user.call("PUT", `/sendToDevice/${encodeURIComponent(event_type)}/${encodeURIComponent(txn_id)}`, body);
      }
      case RequestType.SignatureUpload:
      case RequestType.RoomMessage:
      case RequestType.KeysBackup:
        throw new Error(`a request of type ${request.type} was not expected`);
    }
  }
}
