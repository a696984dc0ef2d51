/** The fields that the editor shows: first those that the type needs, then the others. */

import type { Connection } from "../api/client";

type Type = Connection["connection_type"];
export type FieldName = "name" | "description" | "base_url" | "api_key" | "model_name" | "deployment" | "api_version" | "region" | "organization_id" | "tags" | "pool" | "priority" | "weight" | "timeout" | "temperature" | "max_tokens" | "monthly_budget" | "price_in" | "price_out";

const SERVER: FieldName[] = ["name", "base_url", "api_key", "model_name"];
const VENDOR: FieldName[] = ["name", "api_key", "model_name"];

const NEEDED: Record<Type, FieldName[]> = {
  local: SERVER,
  remote: SERVER,
  aws_spot: SERVER,
  openai: [...VENDOR, "organization_id"],
  anthropic: VENDOR,
  google: VENDOR,
  groq: VENDOR,
  together: VENDOR,
  azure: ["name", "base_url", "api_key", "deployment", "api_version"],
  bedrock: ["name", "region", "model_name"],
};

/** Addresses of the vendors' APIs. A type without one asks for its address. */
export const ADDRESSES: Partial<Record<Type, string>> = {
  openai: "https://api.openai.com/v1",
  anthropic: "https://api.anthropic.com/v1",
  google: "https://generativelanguage.googleapis.com/v1beta/openai",
  groq: "https://api.groq.com/openai/v1",
  together: "https://api.together.xyz/v1",
};

const OPTIONAL: FieldName[] = ["description", "tags", "pool", "priority", "weight", "timeout", "temperature", "max_tokens", "monthly_budget", "price_in", "price_out"];
export const NUMBERS: ReadonlySet<FieldName> = new Set(["priority", "weight", "timeout", "temperature", "max_tokens", "monthly_budget", "price_in", "price_out"]);

export const neededFields = (type: Type) => NEEDED[type];
export const optionalFields = () => OPTIONAL;
